"""Publishing to the edge over Redis, and to the others over HTTP: the same messages, one at a time or in a burst."""

import asyncio
import re
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from redis.asyncio import Redis

from common.message import Message
from common.names import RedisNames
from common.redis.client import connect
from common.redis.pipelines import Pipelines
from common.scripts.publishing import Outgoing, Publishing
from common.settings import load_settings

CHANNEL = "room"
MARKER = "bench-"  # what load.c counts; once in each message, in no name
DIGITS = 19  # of the time behind it, as client.h has them
PAYLOAD_BYTES = 104
PUBLISH_TIMEOUT = 60.0  # seconds for what is published at once
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"


def payload(size: int) -> bytes:
    """Return one message that the load generator recognises."""
    return MARKER.encode().ljust(size, b"x")


def stamped(size: int = PAYLOAD_BYTES, due_ns: int | None = None) -> bytes:
    """Return a message that says when it was due, by default now; latency.c and subscribers.c read it."""
    due_ns = time.monotonic_ns() if due_ns is None else due_ns
    return f"{MARKER}{due_ns:0{DIGITS}}-".encode().ljust(size, b"x")


class Publisher(Protocol):
    """Sends messages to all subscribers of a channel."""

    def publish(self, messages: Sequence[bytes], channel: str = CHANNEL) -> None:
        """Send the messages together; return when the server's side has taken them."""


class RedisPublisher:
    """Publishes as the service does, through the script, or with plain PUBLISH; several in one pipeline."""

    def __init__(self, redis: Redis, run: asyncio.Runner, plain: bool) -> None:
        self._redis = redis
        self._run = run
        self._plain = plain
        settings = load_settings(history_size=100)
        self._names = RedisNames(settings.prefix)
        self._publishing = Publishing(Pipelines(redis), self._names, settings)

    def publish(self, messages: Sequence[bytes], channel: str = CHANNEL) -> None:
        """Send the messages in one pipeline."""
        self._run.run(self._publish(messages, channel))

    async def _publish(self, messages: Sequence[bytes], channel: str) -> None:
        if self._plain:
            pipeline = self._redis.pipeline(transaction=False)
            for content in messages:
                pipeline.publish(self._names.channel(channel), content)
            await pipeline.execute()
            return
        await publish_all(self._publishing, [Outgoing(channel, Message(content)) for content in messages])


async def publish_all(publishing: Publishing, messages: Sequence[Outgoing]) -> None:
    """Publish messages as the publisher does; raises the first error."""
    deadline = asyncio.get_running_loop().time() + PUBLISH_TIMEOUT
    for result in await publishing.publish(messages, deadline):
        if isinstance(result, Exception):
            raise result


@contextmanager
def publishing_to_redis(url: str, *, plain: bool) -> Iterator[RedisPublisher]:
    """Keep a connection to Redis while the block runs."""
    with asyncio.Runner() as runner:
        redis = connect(url)
        try:
            yield RedisPublisher(redis, runner, plain)
        finally:
            runner.run(redis.aclose())


class ReferencePublisher:
    """Publishes over one connection to the reference; several are pipelined and written one by one."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def publish(self, messages: Sequence[bytes], channel: str = CHANNEL) -> None:  # it has one
        """Send the messages in one write and read as many answers."""
        self._connection.sendall(b"".join(b"GET /pub?content=%b HTTP/1.1\r\nHost: x\r\n\r\n" % m for m in messages))
        missing = len(NO_CONTENT) * len(messages)
        while missing:
            got = self._connection.recv(missing)
            if not got:
                raise RuntimeError("the reference ended the publisher's connection")
            missing -= len(got)


@contextmanager
def publishing_to_reference(port: int) -> Iterator[ReferencePublisher]:
    """Keep a connection to the reference while the block runs."""
    with socket.create_connection(("127.0.0.1", port), 60) as connection:
        yield ReferencePublisher(connection)


class HttpPublisher:
    """Publishes over one connection to Nchan or the aiohttp server: `POST /pub?id=…`, several pipelined."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._unread = b""

    def publish(self, messages: Sequence[bytes], channel: str = CHANNEL) -> None:
        """Send the messages in one write and read as many answers."""
        head = f"POST /pub?id={channel} HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n".encode()
        self._connection.sendall(b"".join(head % len(message) + message for message in messages))
        for _ in messages:
            self._read_answer()

    def _read_answer(self) -> None:
        while b"\r\n\r\n" not in self._unread:
            self._receive()
        head, _, self._unread = self._unread.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 20"):
            raise RuntimeError(f"a publication was answered {head[:60]!r}")
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        size = int(length[1]) if length else 0
        while len(self._unread) < size:
            self._receive()
        self._unread = self._unread[size:]

    def _receive(self) -> None:
        got = self._connection.recv(65536)
        if not got:
            raise RuntimeError("the server ended the publisher's connection")
        self._unread += got


@contextmanager
def publishing_by_http(port: int) -> Iterator[HttpPublisher]:
    """Keep a connection to a server while the block runs."""
    with socket.create_connection(("127.0.0.1", port), 60) as connection:
        yield HttpPublisher(connection)
