"""Requests that servers are known to understand differently, as literal bytes with the answers that an edge gives."""

import re
import socket
from contextlib import suppress
from typing import NamedTuple

HOST = "127.0.0.1"
DEADLINE = 8.0
QUIET = 0.3  # seconds after which no more is expected on a connection that stays open
SMUGGLED = "smuggled"
HIDDEN = f"GET /poll?id={SMUGGLED}&timeout=0 HTTP/1.1\r\nHost: x\r\n\r\n".encode()  # what must never be served
POLL = b"GET /poll?id=odd&timeout=0 HTTP/1.1\r\n"
GET = POLL + b"Host: x\r\n"
CHANGE = b"POST /sub/0123456789abcdef HTTP/1.1\r\nHost: x\r\n"
CHUNK = b"%x\r\n%b\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN)


def line(text: bytes) -> bytes:
    """Return a request that begins with this line."""
    return text + b"\r\nHost: x\r\n\r\n"


def target(text: bytes, method: bytes = b"GET") -> bytes:
    """Return a request for this target."""
    return line(method + b" " + text + b" HTTP/1.1")


#: What is refused, with the status of its one answer; the connection is closed after it.
REFUSED: dict[str, tuple[bytes, int]] = {
    "two spaces before the target": (line(b"GET  /poll?id=odd&timeout=0 HTTP/1.1"), 400),
    "two spaces before the version": (line(b"GET /poll?id=odd&timeout=0  HTTP/1.1"), 400),
    "a space in the target": (line(b"GET /poll?id=odd&timeout=0 b HTTP/1.1"), 400),
    "a space after the version": (line(b"GET /poll?id=odd&timeout=0 HTTP/1.1 "), 400),
    "a space before the method": (line(b" GET /poll?id=odd&timeout=0 HTTP/1.1"), 400),
    "a tab for a space": (line(b"GET\t/poll?id=odd&timeout=0 HTTP/1.1"), 400),
    "a vertical tab for a space": (line(b"GET /poll?id=odd&timeout=0\x0bHTTP/1.1"), 400),
    "a method in small letters": (line(b"get /poll?id=odd&timeout=0 HTTP/1.1"), 400),
    "a method of another protocol": (line(b"DESCRIBE /poll?id=odd&timeout=0 HTTP/1.1"), 400),
    "no target": (line(b"GET HTTP/1.1"), 400),
    "RTSP": (line(b"GET /poll?id=odd&timeout=0 RTSP/1.0"), 400),
    "ICE": (line(b"SOURCE /poll?id=odd&timeout=0 ICE/1.0"), 400),
    "SIP": (line(b"GET /poll?id=odd&timeout=0 SIP/2.0"), 400),
    "http in small letters": (line(b"GET /poll?id=odd&timeout=0 http/1.1"), 400),
    "a version of three numbers": (line(b"GET /poll?id=odd&timeout=0 HTTP/1.1.1"), 400),
    "a version of two digits": (line(b"GET /poll?id=odd&timeout=0 HTTP/1.10"), 400),
    "a version without a dot": (line(b"GET /poll?id=odd&timeout=0 HTTP/11"), 400),
    "a version without a number": (line(b"GET /poll?id=odd&timeout=0 HTTP/"), 400),
    "HTTP/0.9 by its number": (line(b"GET /poll?id=odd&timeout=0 HTTP/0.9"), 505),
    "HTTP/0.9": (b"GET /poll?id=odd&timeout=0\r\n\r\n", 505),
    "HTTP/0.9 in one line": (b"GET /poll?id=odd&timeout=0\r\n", 505),
    "HTTP/1.2": (line(b"GET /poll?id=odd&timeout=0 HTTP/1.2"), 505),
    "HTTP/2.0": (line(b"GET /poll?id=odd&timeout=0 HTTP/2.0"), 505),
    "the preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "an answer": (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "no Host": (POLL + b"\r\n", 400),
    "two Hosts": (GET + b"Host: y\r\n\r\n", 400),
    "one Host twice": (GET + b"host: x\r\n\r\n", 400),
    "two Hosts by HTTP/1.0": (b"GET /poll?id=odd&timeout=0 HTTP/1.0\r\nHost: x\r\nHost: y\r\n\r\n", 400),
    "a Host with a blank": (POLL + b"Host: x y\r\n\r\n", 400),
    "a Host with a path": (POLL + b"Host: x/y\r\n\r\n", 400),
    "a Host with a user": (POLL + b"Host: u@x\r\n\r\n", 400),
    "a Host with a word for a port": (POLL + b"Host: x:http\r\n\r\n", 400),
    "a Host that is not ASCII": (POLL + b"Host: \xc3\xa9\r\n\r\n", 400),
    "a list of Hosts": (POLL + b"Host: x, y\r\n\r\n", 400),
    "no slash": (target(b"poll?id=odd"), 400),
    "only a query": (target(b"?id=odd"), 400),
    "a star": (target(b"*"), 400),
    "a backslash": (target(b"\\poll?id=odd"), 400),
    "an authority": (target(b"x:80", b"CONNECT"), 400),
    "a URL without a host": (target(b"http:///poll?id=odd&timeout=0"), 400),
    "a URL with one slash": (target(b"http:/poll?id=odd&timeout=0"), 400),
    "a URL of another scheme": (target(b"ftp://x/poll?id=odd&timeout=0"), 400),
    "a URL with a user": (target(b"http://u:p@x/poll?id=odd&timeout=0"), 400),
    "a target in UTF-8": (target(b"/poll?id=\xc3\xa9"), 400),
    "a target in Latin-1": (target(b"/poll?id=\xe9"), 400),
    "NUL in the target": (target(b"/poll?id=odd&timeout=0\0"), 400),
    "NUL in a value": (GET + b"X: a\0b\r\n\r\n", 400),
    "NUL in a name": (GET + b"X\0: a\r\n\r\n", 400),
    "a control character in a value": (GET + b"X: a\x01b\r\n\r\n", 400),
    "a folded header": (GET + b"X: a\r\n b\r\n\r\n", 400),
    "a header folded with a tab": (GET + b"X: a\r\n\tb\r\n\r\n", 400),
    "a header that hides in a fold": (GET + b"X: a\r\n Content-Length: 5\r\n\r\n", 400),
    "a blank before the first header": (POLL + b" Host: x\r\nHost: x\r\n\r\n", 400),
    "a blank before the colon": (POLL + b"Host : x\r\n\r\n", 400),
    "no name": (GET + b": a\r\n\r\n", 400),
    "no colon": (GET + b"X\r\n\r\n", 400),
    "a name of two words": (GET + b"X Y: a\r\n\r\n", 400),
    "a name in brackets": (GET + b"X(1): a\r\n\r\n", 400),
    "a name that is not ASCII": (GET + b"X\xe9: a\r\n\r\n", 400),
    "LF only": (b"GET /poll?id=odd&timeout=0 HTTP/1.1\nHost: x\n\n", 400),
    "LF after the line": (b"GET /poll?id=odd&timeout=0 HTTP/1.1\nHost: x\r\n\r\n", 400),
    "LF after a header": (GET + b"X: a\nY: b\r\n\r\n", 400),
    "CR in a header": (GET + b"X: a\rY: b\r\n\r\n", 400),
    "CR after the line": (b"GET /poll?id=odd&timeout=0 HTTP/1.1\rHost: x\r\n\r\n", 400),
    "CR CR LF": (GET + b"X: a\r\r\n\r\n", 400),
    "a second request behind LF": (GET + b"X: a\n\n" + HIDDEN, 400),
    "a second request behind CR": (GET + b"X: a\r\r" + HIDDEN, 400),
    "a body": (GET + b"Content-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN, 413),
    "a body in chunks": (GET + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNK, 413),
    "chunks that Connection names": (
        GET + b"Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNK,
        413,
    ),
    "a change in chunks that Connection names": (
        CHANGE + b"Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNK,
        411,
    ),
    "a change in chunks": (CHANGE + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNK, 411),
    "a change that is compressed": (CHANGE + b"Content-Encoding: br\r\nContent-Length: 2\r\n\r\n{}", 415),
    "a change without a length": (CHANGE + b"\r\n", 411),
    "two lengths": (CHANGE + b"Content-Length: 0\r\nContent-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN, 400),
    "one length twice": (CHANGE + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n[]", 400),
    "a list of lengths": (CHANGE + b"Content-Length: 2, 2\r\n\r\n[]", 400),
    "a length with a plus": (CHANGE + b"Content-Length: +2\r\n\r\n[]", 400),
    "a length with a minus": (CHANGE + b"Content-Length: -2\r\n\r\n[]", 400),
    "a length in hexadecimal": (CHANGE + b"Content-Length: 0x2\r\n\r\n[]", 400),
    "a length of two words": (CHANGE + b"Content-Length: 2 2\r\n\r\n[]", 400),
    "a length of 30 digits": (CHANGE + b"Content-Length: %d\r\n\r\n[]" % 10**29, 400),
    "a length and chunks": (CHANGE + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNK, 400),
    "chunks and a length": (CHANGE + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n" + CHUNK, 400),
    "hidden chunks": (CHANGE + b"Content-Length: 4\r\nTransfer-Encoding : chunked\r\n\r\n" + CHUNK, 400),
    "chunks behind a control character": (
        CHANGE + b"Content-Length: 4\r\nTransfer-Encoding: \x0bchunked\r\n\r\n" + CHUNK,
        400,
    ),
    "chunks by HTTP/1.0": (
        b"POST /sub/0123456789abcdef HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNK,
        400,
    ),
    "a GET in chunks by HTTP/1.0": (
        b"GET /poll?id=odd&timeout=0 HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNK,
        400,
    ),
}

#: What is well-formed, with the statuses of its answers, and whether the connection is closed after them.
ANSWERED: dict[str, tuple[bytes, tuple[int, ...], bool]] = {
    "a plain poll": (GET + b"\r\n", (200,), False),
    "a whole URL": (target(b"http://x/poll?id=odd&timeout=0"), (200,), False),
    "a whole URL in capitals": (target(b"HTTP://X:80/poll?id=odd&timeout=0"), (200,), False),
    "a whole URL of another host": (target(b"http://other/poll?id=odd&timeout=0"), (200,), False),
    "a whole URL without a path": (target(b"http://x"), (404,), False),
    "a star to OPTIONS": (target(b"*", b"OPTIONS"), (204,), False),
    "HTTP/1.0 without Host": (b"GET /poll?id=odd&timeout=0 HTTP/1.0\r\n\r\n", (200,), True),
    "HTTP/1.0 that would stay": (
        b"GET /poll?id=odd&timeout=0 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        (200,),
        True,
    ),
    "an empty Host": (POLL + b"Host:\r\n\r\n", (200,), False),
    "an address for a Host": (POLL + b"Host: [::1]:8080\r\n\r\n", (200,), False),
    "an upgrade to HTTP/2": (GET + b"Upgrade: h2c\r\nConnection: Upgrade\r\n\r\n", (200,), False),
    "an upgrade to TLS": (GET + b"Upgrade: TLS/1.2\r\nConnection: Upgrade\r\n\r\n", (200,), False),
    "an expectation without a body": (GET + b"Expect: 100-continue\r\n\r\n", (200,), False),
    "a value that is not ASCII": (GET + b"X: \xc3\xa9\xff\r\n\r\n", (200,), False),
    "an empty value": (GET + b"X:\r\n\r\n", (200,), False),
    "empty lines before": (b"\r\n\r\n" + GET + b"\r\n", (200,), False),
    "two requests": ((GET + b"\r\n") * 2, (200, 200), False),
    "a change of nothing": (CHANGE + b"Content-Length: 2\r\n\r\n[]", (400,), False),
    "an escape of one digit in the id": (target(b"/poll?id=odd%2"), (400,), False),
    "an escape of no digits in the id": (target(b"/poll?id=odd%zz"), (400,), False),
    "an escape of a code point in the id": (target(b"/poll?id=odd%u0041"), (400,), False),
    "an escape of NUL in the id": (target(b"/poll?id=odd%00"), (400,), False),
    "an escape of a line's end in the id": (target(b"/poll?id=odd%0d%0aX:1"), (400,), False),
    "an overlong escape in the id": (target(b"/poll?id=odd%c0%af"), (400,), False),
    "an escape of half a character in the id": (target(b"/poll?id=odd%c3"), (400,), False),
    "an escape of a surrogate in the id": (target(b"/poll?id=odd%ed%a0%80"), (400,), False),
    "an escape of an escape in the id": (target(b"/poll?id=odd%252f&timeout=0"), (200,), False),
    "two slashes": (target(b"//poll?id=odd"), (404,), False),
}


class Exchange(NamedTuple):
    """What came back on one connection, and whether the server closed it."""

    received: bytes
    closed: bool

    @property
    def statuses(self) -> tuple[int, ...]:
        """The statuses of all answers; fails if anything else came."""
        found, rest = [], self.received
        while rest:
            match = re.match(rb"HTTP/1\.[01] (\d{3})[^\r\n]*\r\n(?:[^\r\n]+\r\n)*\r\n", rest)
            assert match is not None, rest
            found.append(int(match[1]))
            rest = rest[match.end() + _length_of_body(match[0], rest[match.end() :]) :]
        return tuple(found)


def _length_of_body(head: bytes, rest: bytes) -> int:
    """Return how many bytes after a head are its body."""
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    if length is not None:
        return int(length[1])
    if b"transfer-encoding: chunked" in head.lower():
        return rest.index(b"\r\n0\r\n\r\n") + len(b"\r\n0\r\n\r\n")
    return len(rest) if head.split(None, 2)[1] == b"400" else 0  # until the end of the connection


def say(port: int, data: bytes, *, patience: float = DEADLINE, quiet: float = QUIET) -> Exchange:
    """Send bytes; return all that comes back until the server closes the connection or nothing more comes."""
    with socket.create_connection((HOST, port), patience) as raw:
        with suppress(ConnectionError):  # it may have refused the first of them already
            raw.sendall(data)
        received = b""
        while True:
            try:
                more = raw.recv(65536)
            except TimeoutError:
                return Exchange(received, closed=False)
            except ConnectionError:
                return Exchange(received, closed=True)
            if not more:
                return Exchange(received, closed=True)
            received += more
            raw.settimeout(quiet)
