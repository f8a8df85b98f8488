"""A TCP proxy in front of Redis that can stall, cut, forget connections, swallow answers, and lose or double messages.

Set `target` to lead new connections elsewhere; those that are open stay where they are, as behind a load balancer.
"""

import asyncio
import random
import ssl
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NamedTuple

HOST = "127.0.0.1"
CHUNK = 65536
MESSAGE = b"*3\r\n$7\r\nmessage\r\n"
FRAME = b"\x01C1 "  # what a stored message begins with
PROBE = b"comet:!"  # names of control channels begin like this; they are never touched


class Hole(NamedTuple):
    """A stored message that was lost, and when the channel's next one was forwarded, which shows that."""

    seq: str
    shown_at: float


class Proxy:
    """Forwards connections to `target`; runs in a thread of its own between `start` and `stop`."""

    def __init__(self, target: int, seed: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self.target = target
        self._tls = tls
        self.port = 0
        self.lose = self.double = self.swallow = 0.0  # probabilities: per message, per message, per answer
        self.delay = 0.0  # seconds until a new connection is forwarded
        self.spares_plain = False  # lose and double none but framed messages
        self.lost = self.doubled = self.swallowed = 0
        self.holes: list[Hole] = []
        self._random = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._open = asyncio.Event()
        self._open.set()
        self.connections = 0  # of clients: how many were accepted and are open, forwarded or not
        self._writers: set[asyncio.StreamWriter] = set()
        self._used_at: dict[asyncio.StreamWriter, float] = {}  # when each connection of a client carried something
        self._forgotten: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        """Where an edge finds Redis behind this proxy."""
        return f"redis://{HOST}:{self.port}"

    def start(self) -> "Proxy":
        """Listen, and forward from now on."""
        self._thread.start()
        self._call(self._listen())
        return self

    def stop(self) -> None:
        """Cut everything and end."""
        self.cut()
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def freeze(self) -> None:
        """Forward nothing any more, without closing anything: a half-open connection."""
        self._loop.call_soon_threadsafe(self._open.clear)

    def thaw(self) -> None:
        """Forward again, what came meanwhile first."""
        self._loop.call_soon_threadsafe(self._open.set)

    def cut(self) -> None:
        """Close every connection at once."""
        self._call(self._cut())

    def forget(self, rest: float) -> int:
        """Forward nothing any more of connections that rested for `rest` seconds, as a NAT does; return how many."""
        before = time.monotonic() - rest
        idle = {writer for writer, used_at in self._used_at.copy().items() if used_at <= before}
        self._forgotten |= idle
        return len(idle)

    def _call(self, work: Awaitable[None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)  # type: ignore[arg-type]

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, HOST, self.port, ssl=self._tls)
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def _close(self) -> None:
        self._server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward both ways; when one side ends, so does the other."""
        self.connections += 1
        try:
            await self._forward(reader, writer)
        finally:
            self.connections -= 1

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._open.wait()
        await asyncio.sleep(self.delay)
        try:
            far_reader, far_writer = await asyncio.open_connection(HOST, self.target)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, far_writer}
        self._writers |= both
        self._used_at[writer] = time.monotonic()
        up = self._pump(reader, far_writer, bytes, writer)
        down = self._pump(far_reader, writer, Meddler(self).meddle, writer)
        pumps = [asyncio.create_task(up), asyncio.create_task(down)]
        try:
            await asyncio.wait(pumps, return_when="FIRST_COMPLETED")
        finally:
            for pump in pumps:
                pump.cancel()
            self._writers -= both
            self._used_at.pop(writer)
            self._forgotten.discard(writer)
            for one in both:
                one.transport.abort()

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        change: Callable[[bytes], bytes],
        client: asyncio.StreamWriter,
    ) -> None:
        with suppress(OSError, SwallowedError):
            while data := await reader.read(CHUNK):
                await self._open.wait()
                if client in self._forgotten:
                    continue
                self._used_at[client] = time.monotonic()
                writer.write(change(data))
                await writer.drain()

    def happens(self, probability: float) -> bool:
        """Throw the dice."""
        return probability > 0 and self._random.random() < probability


class SwallowedError(Exception):
    """An answer of Redis shall not arrive, and its connection shall end."""


class Meddler:
    """What happens to the bytes from Redis on one connection."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._rest = b""
        self._unseen: dict[bytes, list[str]] = {}  # by pub/sub channel: lost, and no message after them yet

    def meddle(self, data: bytes) -> bytes:
        """Return what shall be forwarded of the complete replies so far; raises `SwallowedError`."""
        proxy = self._proxy
        if proxy.happens(proxy.swallow):
            proxy.swallowed += 1
            raise SwallowedError
        if not (proxy.lose or proxy.double or self._rest):
            return data
        data, out, at = self._rest + data, [], 0
        while (end := end_of_reply(data, at)) > 0:
            out.append(self._changed(data[at:end]))
            at = end
        self._rest = data[at:]
        return b"".join(out)

    def _changed(self, reply: bytes) -> bytes:
        proxy = self._proxy
        if not reply.startswith(MESSAGE) or PROBE in reply[:80]:
            return reply
        _, _, _, _, name, _, payload = reply.split(b"\r\n", 6)
        if proxy.spares_plain and not payload.startswith(FRAME):
            return reply
        if proxy.happens(proxy.lose):
            proxy.lost += 1
            if payload.startswith(FRAME):
                offset, tag = payload.split(b" ", 3)[1:3]
                self._unseen.setdefault(name, []).append(f"{offset.decode()}-{tag.decode()}")
            return b""
        proxy.holes += [Hole(seq, time.monotonic()) for seq in self._unseen.pop(name, ())]
        if proxy.happens(proxy.double):
            proxy.doubled += 1
            return reply + reply
        return reply


def end_of_reply(data: bytes, at: int) -> int:
    """Return where the RESP reply that begins at `at` ends; -1 if it is not complete."""
    line_end = data.find(b"\r\n", at)
    if line_end < 0:
        return -1
    end, kind = line_end + 2, data[at : at + 1]
    if kind not in b"*$":
        return end
    count = int(data[at + 1 : line_end])
    if kind == b"$":
        end += count + 2 if count >= 0 else 0
        return end if end <= len(data) else -1
    for _ in range(count):
        end = end_of_reply(data, end)
        if end < 0:
            return -1
    return end
