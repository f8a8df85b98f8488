"""The requests that are sent, and many connections that each send the next one when the last was answered."""

import re
import select
import socket
from contextlib import ExitStack
from typing import NamedTuple

import orjson

CONTENT = "x" * 100
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")


class Load(NamedTuple):
    """A kind of request: how many of them, each with how many messages."""

    requests: int
    messages: int = 1
    options: tuple[str, ...] = ()  # fields that are true
    by_get: bool = False

    def request(self, number: int) -> bytes:
        """Return the bytes that connection `number` sends again and again, each to a channel of its own."""
        channel = f"room{number}"
        if self.by_get:
            return f"GET /pub?id={channel}&content={CONTENT} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        message = {"id": channel, "content": CONTENT, **dict.fromkeys(self.options, True)}
        body = orjson.dumps(message if self.messages == 1 else [message] * self.messages)
        head = f"POST /pub HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        return head.encode() + body


class _Connection:
    """One connection that waits for an answer."""

    def __init__(self, sock: socket.socket, request: bytes) -> None:
        self._sock = sock
        self._request = request
        self._unread = b""

    def send(self) -> None:
        self._sock.sendall(self._request)

    def has_answer(self) -> bool:
        """Read what is there; say whether an answer is complete."""
        self._unread += self._sock.recv(1 << 18)
        head, end, body = self._unread.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not end or (length and len(body) < int(length[1])):
            return False
        if not head.startswith((b"HTTP/1.1 20", b"HTTP/1.1 404")):  # 404: the short form, without a subscriber
            raise RuntimeError(f"a publication was answered {head[:60]!r}")
        self._unread = b""
        return True


def drive(port: int, connections: int, load: Load) -> None:
    """Send a load, spread over so many connections; return when the last answer is here."""
    with ExitStack() as stack, select.epoll() as poll:
        waiting = {}
        for number in range(connections):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", port), 60))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            poll.register(sock, select.EPOLLIN)
            waiting[sock.fileno()] = _Connection(sock, load.request(number))
            waiting[sock.fileno()].send()
        to_send, to_come = load.requests - connections, load.requests
        while to_come:
            for descriptor, _ in poll.poll(60):
                if waiting[descriptor].has_answer():
                    to_come -= 1
                    if to_send > 0:
                        to_send -= 1
                        waiting[descriptor].send()
