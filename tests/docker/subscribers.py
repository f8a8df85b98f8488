"""Very many clients in one process: `python -m tests.docker.subscribers HOST PORT FILE CHANNELS TRANSPORT=N…`.

Each holds one of the channels and comes back from its position when its connection ends, until it has the channel's
last message. The process says `attached` when every client stands, and `finished` when its file holds what every one
was told and how every connection ended.
"""

import asyncio
import pickle
import random
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlencode

import httptools
import orjson
from websockets.client import ClientProtocol
from websockets.frames import Close, Opcode
from websockets.http11 import Response
from websockets.uri import parse_uri

from tests.cluster.clients import JSONP_CALL
from tests.docker.account import Account
from tests.faults.checker import END, Entry, Log
from tests.faults.follower import from_batch, from_event, from_object

PAUSE = 0.5  # seconds a client waits at most before it comes back
AT_ONCE = 100  # clients that may be on their way to their first welcome
SERVICE_RESTART = 1012


class Client(asyncio.Protocol):
    """One client of one channel, over one connection after the other; a subclass knows the transport."""

    transport: ClassVar[str]
    keeps: ClassVar[dict[str, str]] = {}  # what it asks with, beside channel and position

    def __init__(self, channel: str, number: int, account: Account) -> None:
        self.log = Log(f"{self.transport} {number}", channel)
        self.attached = asyncio.Event()
        self.finished = False
        self._account = account
        self._seq = ""
        self._waits = False  # for more of an answer
        account.logs.append(self.log)

    async def follow(self, host: str, port: int) -> None:
        """Stay on the channel until its last message."""
        loop = asyncio.get_running_loop()
        while not self.finished:
            self._ended = loop.create_future()
            try:
                await loop.create_connection(lambda: self, host, port)
                await self._ended
            except OSError as error:
                self._account.refused[str(error)] += 1
            await asyncio.sleep(random.uniform(0, PAUSE))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Subscribe."""
        assert isinstance(transport, asyncio.Transport)
        self._connection = transport
        self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note an end before or amid an answer as cut."""
        if self._waits and not self.finished:
            self._account.cut.append(f"{self.log.client}: {exc or 'an end amid an answer'}")
        self._ended.set_result(None)

    def _path(self) -> str:
        query = {"id": self.log.channel} | self.keeps | ({"since": self._seq} if self._seq else {})
        return f"/{self.transport}?{urlencode(query)}"

    def _ask(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._body, self._waits = b"", True
        self._connection.write(f"GET {self._path()} HTTP/1.1\r\nHost: comet\r\n\r\n".encode())

    def data_received(self, data: bytes) -> None:
        """Read on."""
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        """Collect the answer."""
        self._body += body

    def on_message_complete(self) -> None:
        """Take in a complete answer."""
        self._waits = False
        if self._parser.get_status_code() == 200:
            self._complete()
        else:
            self._refuse(self._parser.get_status_code(), self._body)

    def _complete(self) -> None:
        """Do what is to be done with a complete answer."""
        raise NotImplementedError

    def _refuse(self, status: int, body: bytes) -> None:
        self._account.refused[f"{self.transport}: {status} {body[:80]!r}"] += 1
        self._connection.close()

    def _take(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            self.log.entries.append(entry)
            self._seq = entry.seq or self._seq
            self.attached.set()
            if entry.content.startswith(END):
                self.finished = True
                self._connection.close()

    def _end(self, *, farewell: bool) -> None:
        """Note how the server ended what it held."""
        self._waits = False
        if farewell:
            self._account.notified += 1
        else:
            self._account.cut.append(f"{self.log.client}: an end without a farewell")
        self._connection.close()


class StreamClient(Client):
    """The stream; its farewell is a `close` object."""

    transport = "stream"
    _farewell = False

    def on_body(self, body: bytes) -> None:
        """Take in the lines that are complete; an empty one is a heartbeat."""
        super().on_body(body)
        *lines, self._body = self._body.split(b"\n")
        try:
            self._take(from_object(orjson.loads(line)) for line in lines if line)
        except EOFError:
            self._farewell = True

    def _complete(self) -> None:
        self._end(farewell=self._farewell)
        self._farewell = False


class SseClient(Client):
    """Server-Sent Events; to an EventSource a complete answer is farewell enough."""

    transport = "sse"

    def on_body(self, body: bytes) -> None:
        """Take in the events that are complete."""
        super().on_body(body)
        *blocks, self._body = self._body.split(b"\n\n")
        self._take(entry for block in blocks for entry in read_event(block))

    def _complete(self) -> None:
        self._end(farewell=True)


class PollClient(Client):
    """Long-polls, one after the other on a connection that is kept; the first only asks where the channel stands."""

    transport = "poll"

    def _path(self) -> str:
        return super()._path() + ("" if self._seq else "&timeout=0")

    def _complete(self) -> None:
        self._take(from_batch(orjson.loads(self._object())))
        if self._parser.should_keep_alive() and not self.finished:
            asyncio.get_running_loop().call_soon(self._ask)  # the parser must not be replaced while it runs
        else:
            self._connection.close()

    def _object(self) -> bytes | str:
        return self._body


class JsonpClient(PollClient):
    """The same as script."""

    transport = "jsonp"
    keeps: ClassVar[dict[str, str]] = {"callback": "f"}

    def _object(self) -> bytes | str:
        call = JSONP_CALL.fullmatch(self._body.decode())
        assert call is not None, self._body
        return call[2]


class SocketClient(Client):
    """A WebSocket; its farewell is the close code 1012, service restart (RFC 6455 section 7.4, IANA registry)."""

    transport = "ws"

    def _ask(self) -> None:
        self._waits = True
        self._socket = ClientProtocol(parse_uri(f"ws://comet{self._path()}"))
        self._socket.send_request(self._socket.connect())
        self._connection.writelines(self._socket.data_to_send())

    def data_received(self, data: bytes) -> None:
        """Read on."""
        self._socket.receive_data(data)
        self._connection.writelines(filter(None, self._socket.data_to_send()))  # pongs
        for event in self._socket.events_received():
            if isinstance(event, Response):
                if event.status_code != 101:
                    self._waits = False
                    self._refuse(event.status_code, event.body)
            elif event.opcode is Opcode.TEXT:
                self._take(objects(event.data))
            elif event.opcode is Opcode.CLOSE:
                self._end(farewell=Close.parse(event.data).code == SERVICE_RESTART)


KINDS = {kind.transport: kind for kind in (StreamClient, SseClient, PollClient, JsonpClient, SocketClient)}


def objects(data: bytes) -> Iterator[Entry]:
    """Read a text frame; a `close` object is not yet the end."""
    with suppress(EOFError):
        yield from_object(orjson.loads(data))


def read_event(block: bytes) -> Iterator[Entry]:
    """Read an event; what has no data is a comment or a `retry:`."""
    fields = dict(line.split(": ", 1) for line in block.decode().split("\n") if ": " in line)
    if "data" in fields:
        yield from_event(fields)


async def follow_all(clients: list[Client], host: str, port: int) -> None:
    """Let all clients in, not at once, and wait until all have finished."""
    entrance = asyncio.Semaphore(AT_ONCE)

    async def enter(client: Client) -> asyncio.Task[None]:
        async with entrance:
            following = asyncio.create_task(client.follow(host, port))
            await client.attached.wait()
            return following

    following = await asyncio.gather(*map(enter, clients))
    print("attached", flush=True)
    await asyncio.gather(*following)


def main(host: str, port: str, file: str, channels: str, *transports: str) -> None:
    """Run clients; each transport's number of them is spread over the channels."""
    account = Account()
    clients = [
        KINDS[transport](f"room-{number % int(channels)}", number, account)
        for transport, _, count in (one.partition("=") for one in transports)
        for number in range(int(count))
    ]
    asyncio.run(follow_all(clients, host, int(port)))
    Path(file).write_bytes(pickle.dumps(account))
    print("finished", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
