"""A server that speaks as much of Redis' protocol as a test makes it answer."""

import asyncio
from collections.abc import Callable

import hiredis

from common.redis.client import Endpoint


class FakeRedis:
    """A server that answers each command as a test says; `answer` gets the words of the command."""

    def __init__(self, answer: Callable[[list[bytes]], bytes]) -> None:
        self.connections = 0
        self.answer = answer
        self._writers: list[asyncio.StreamWriter] = []

    async def start(self) -> Endpoint:
        """Listen, and return where."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return Endpoint("127.0.0.1", self._server.sockets[0].getsockname()[1], "", None, "", "")

    def stop(self) -> None:
        """Listen no more, and drop all connections."""
        self._server.close()
        for writer in self._writers:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        commands = hiredis.Reader(notEnoughData=None)
        while data := await reader.read(65536):
            commands.feed(data)
            while (words := commands.gets()) is not None:
                writer.write(self.answer(words))
        writer.close()


def array(verb: bytes, name: bytes, last: bytes = b":1") -> bytes:
    """Return a reply of three elements as Redis writes it."""
    return b"*3\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n%b\r\n" % (len(verb), verb, len(name), name, last)


def acknowledge(words: list[bytes]) -> bytes:
    """Answer SUBSCRIBE and UNSUBSCRIBE like Redis."""
    return b"".join(array(words[0].lower(), name) for name in words[1:])
