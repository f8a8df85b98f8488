"""The PROXY protocol: what a balancer says of a connection in front of its first byte (versions 1 and 2). Pure."""

import struct
from ipaddress import ip_address
from typing import NamedTuple

from common.errors import BadRequestError

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
MAX_LINE = 107  # bytes of version 1
MAX_BLOCK = 536  # bytes of version 2 that are read: addresses, and some values that are skipped
_HEAD = struct.Struct("!12sBBH")
_ADDRESS_BYTES = {0x11: 4, 0x21: 16}  # TCP over IPv4 and over IPv6
WRONG = "a connection from a trusted proxy begins with a PROXY line here (COMET_PROXY_PROTOCOL); this is none"


class Preface(NamedTuple):
    """What stands in front of a connection's bytes: how long it is, and its client ("" if it names none)."""

    size: int
    address: str


def parse_preface(data: bytes) -> Preface | None:
    """Read a PROXY line or block; None if it is not complete. Raises `BadRequestError` if there is none."""
    if data[:1] == b"P":
        return _parse_line(data)
    if SIGNATURE.startswith(data[: len(SIGNATURE)]):
        return _parse_block(data)
    raise BadRequestError(WRONG)


def _parse_line(data: bytes) -> Preface | None:
    line, end, _ = data[:MAX_LINE].partition(b"\r\n")
    if not end:
        if len(data) >= MAX_LINE or not (b"PROXY ".startswith(data[:6])):
            raise BadRequestError(WRONG)
        return None
    words = line.decode("latin-1").split(" ")
    size = len(line) + len(end)
    if words[:2] == ["PROXY", "UNKNOWN"]:
        return Preface(size, "")
    if len(words) != 6 or words[0] != "PROXY" or words[1] not in {"TCP4", "TCP6"}:
        raise BadRequestError(WRONG)
    return Preface(size, _checked(words[2]))


def _parse_block(data: bytes) -> Preface | None:
    if len(data) < _HEAD.size:
        return None
    _, command, family, length = _HEAD.unpack_from(data)
    if command not in {0x20, 0x21} or length > MAX_BLOCK:
        raise BadRequestError(WRONG)
    size = _HEAD.size + length
    if len(data) < size:
        return None
    count = _ADDRESS_BYTES.get(family, 0)
    if command == 0x20 or not count or length < 2 * count + 4:  # LOCAL: the balancer itself, as for a health check
        return Preface(size, "")
    return Preface(size, str(ip_address(data[_HEAD.size : _HEAD.size + count])))


def _checked(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        raise BadRequestError(WRONG) from None
