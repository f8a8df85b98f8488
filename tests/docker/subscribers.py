"""Very many clients in one process of their own: `python -m tests.docker.subscribers PORT FILE CHANNELS TRANSPORT=N…`.

Each holds one of the channels and comes back from its position when its connection ends, until it has the channel's
last message. The process says `attached` when every client stands, and `finished` when its file holds what every one
was told and how every connection ended.
"""

import asyncio
import pickle
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import httptools
import orjson

from tests.cluster.clients import HOST, JSONP_CALL
from tests.docker.account import Account
from tests.faults.checker import END, Entry, Log
from tests.faults.follower import from_batch, from_event, from_object

PAUSE = 0.5  # seconds a client waits at most before it comes back
AT_ONCE = 100  # clients that may be on their way to their first welcome
SEPARATORS = {"stream": b"\n", "sse": b"\n\n"}
POLLS = {"poll", "jsonp"}


class Client(asyncio.Protocol):
    """One client of one channel, over one connection after the other."""

    def __init__(self, transport: str, channel: str, number: int, account: Account) -> None:
        self.log = Log(f"{transport} {number}", channel)
        self.attached = asyncio.Event()
        self.finished = False
        self._account = account
        self._transport = transport
        self._polls = transport in POLLS
        self._seq = ""
        self._farewell = self._answering = False
        account.logs.append(self.log)

    async def follow(self, port: int) -> None:
        """Stay on the channel until its last message."""
        loop = asyncio.get_running_loop()
        while not self.finished:
            self._ended = loop.create_future()
            try:
                await loop.create_connection(lambda: self, HOST, port)
                await self._ended
            except OSError as error:
                self._account.refused[str(error)] += 1
            await asyncio.sleep(random.uniform(0, PAUSE))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Subscribe."""
        assert isinstance(transport, asyncio.Transport)
        self._connection = transport
        self._ask()

    def data_received(self, data: bytes) -> None:
        """Read on."""
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Note an end before or amid an answer as cut."""
        if self._answering and not self.finished:
            self._account.cut.append(f"{self.log.client}: {exc or 'an end amid an answer'}")
        self._ended.set_result(None)

    def on_body(self, body: bytes) -> None:
        """Take in the objects that are complete; a poll's whole answer is one."""
        self._body += body
        if self._polls or self._status != 200:
            return
        *parts, self._body = self._body.split(SEPARATORS[self._transport])
        for part in parts:
            self._take(part)

    def on_message_complete(self) -> None:
        """Go on with the next poll; what was held has ended as it should if it said farewell."""
        self._answering = False
        if self._status != 200:
            self._account.refused[f"{self._transport}: {self._status} {self._body[:80]!r}"] += 1
            self._connection.close()
        elif self._polls:
            self._take_batch(self._body.decode())
            self._ask_next()
        else:
            self._end()

    @property
    def _status(self) -> int:
        return self._parser.get_status_code()

    def _ask(self) -> None:
        query = {"id": self.log.channel, "callback": "f"}
        if self._seq or self._polls:
            query |= {"since": self._seq} if self._seq else {"timeout": "0"}
        self._parser = httptools.HttpResponseParser(self)
        self._body, self._answering = b"", True
        self._connection.write(f"GET /{self._transport}?{urlencode(query)} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())

    def _ask_next(self) -> None:
        if self.finished or not self._parser.should_keep_alive():
            self._connection.close()
        else:
            asyncio.get_running_loop().call_soon(self._ask)  # the parser must not be replaced while it runs

    def _end(self) -> None:
        """Note how a held answer ended that is complete; to an EventSource that alone is a farewell."""
        if self._farewell or self._transport == "sse":
            self._account.notified += 1
        else:
            self._account.cut.append(f"{self.log.client}: an end without a farewell")
        self._farewell = False
        self._connection.close()

    def _take(self, part: bytes) -> None:
        """Take in a line of a stream, or an event."""
        try:
            for entry in read_event(part) if self._transport == "sse" else read_line(part):
                self._note(entry)
        except EOFError:
            self._farewell = True

    def _take_batch(self, text: str) -> None:
        call = JSONP_CALL.fullmatch(text)
        for entry in from_batch(orjson.loads(call[2] if call else text)):
            self._note(entry)

    def _note(self, entry: Entry) -> None:
        self.log.entries.append(entry)
        self._seq = entry.seq or self._seq
        self.attached.set()
        if entry.content.startswith(END):
            self.finished = True
            if not self._polls:
                self._connection.close()


def read_line(line: bytes) -> Iterator[Entry]:
    """Read a line of a stream; an empty one is a heartbeat."""
    if line:
        yield from_object(orjson.loads(line))


def read_event(block: bytes) -> Iterator[Entry]:
    """Read an event; what has no data is a comment or a `retry:`."""
    fields = dict(line.split(": ", 1) for line in block.decode().split("\n") if ": " in line)
    if "data" in fields:
        yield from_event(fields)


async def follow_all(clients: list[Client], port: int) -> None:
    """Let everybody in, not all at once, and wait until all have finished."""
    entrance = asyncio.Semaphore(AT_ONCE)

    async def enter(client: Client) -> asyncio.Task[None]:
        async with entrance:
            following = asyncio.create_task(client.follow(port))
            await client.attached.wait()
            return following

    following = await asyncio.gather(*map(enter, clients))
    print("attached", flush=True)
    await asyncio.gather(*following)


def main(port: str, file: str, channels: str, *transports: str) -> None:
    """Run clients; each transport's number of them is spread over the channels."""
    account = Account()
    counts = [(transport, int(count)) for transport, _, count in (one.partition("=") for one in transports)]
    clients = [
        Client(transport, f"room-{number % int(channels)}", number, account)
        for transport, count in counts
        for number in range(count)
    ]
    asyncio.run(follow_all(clients, int(port)))
    Path(file).write_bytes(pickle.dumps(account))
    print("finished", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
