"""PROXY lines and blocks, whole, cut anywhere, and wrong."""

import socket
import struct

import pytest

from common.errors import BadRequestError
from edge.protocol.proxies.proxy_line import MAX_BLOCK, MAX_LINE, SIGNATURE, Preface, parse_preface


def block(command: int, family: int, body: bytes) -> bytes:
    """Return a block of version 2."""
    return SIGNATURE + struct.pack("!BBH", command, family, len(body)) + body


def addresses(family: socket.AddressFamily, source: str, destination: str) -> bytes:
    """Return the addresses and ports of a block."""
    return socket.inet_pton(family, source) + socket.inet_pton(family, destination) + struct.pack("!HH", 4711, 80)


IPV4 = addresses(socket.AF_INET, "192.0.2.7", "10.0.0.1")
IPV6 = addresses(socket.AF_INET6, "2001:db8::7", "2001:db8::1")
WHOLE = [
    (b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 80\r\n", "192.0.2.7"),
    (b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 80\r\n", "2001:db8::7"),
    (b"PROXY UNKNOWN\r\n", ""),
    (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", ""),
    (block(0x21, 0x11, IPV4), "192.0.2.7"),
    (block(0x21, 0x21, IPV6), "2001:db8::7"),
    (block(0x21, 0x11, IPV4 + b"\x04\0\x03abc"), "192.0.2.7"),
    (block(0x20, 0x00, b""), ""),
    (block(0x21, 0x00, b""), ""),
    (block(0x21, 0x31, b"x" * 216), ""),
    (block(0x21, 0x11, b"short"), ""),
]


@pytest.mark.parametrize(("data", "address"), WHOLE)
def test_a_preface_is_read_and_what_follows_is_left(data: bytes, address: str) -> None:
    """Both versions; a balancer that speaks for itself names nobody."""
    assert parse_preface(data) == Preface(len(data), address)
    assert parse_preface(data + b"GET / HTTP/1.1\r\n") == Preface(len(data), address)


@pytest.mark.parametrize(("data", "address"), WHOLE)
def test_a_preface_may_come_in_pieces(data: bytes, address: str) -> None:
    """Up to its last byte it is not complete, and not wrong."""
    assert [parse_preface(data[:size]) for size in range(1, len(data))] == [None] * (len(data) - 1)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"POST / HTTP/1.1\r\n",
        b"PROXY TCP4 192.0.2.7\r\n",
        b"PROXY TCP4 nobody 10.0.0.1 4711 80\r\n",
        b"PROXY UDP4 192.0.2.7 10.0.0.1 4711 80\r\n",
        b"PROXY " + b"x" * MAX_LINE,
        b"\r\nGET",
        block(0x31, 0x11, IPV4),
        block(0x21, 0x11, b"x" * (MAX_BLOCK + 1)),
    ],
)
def test_what_is_no_preface_is_told(data: bytes) -> None:
    """A request without one, other versions, and lines without an end."""
    with pytest.raises(BadRequestError, match="PROXY"):
        parse_preface(data)
