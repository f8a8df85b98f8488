"""Where a request comes from: what proxies say of it in X-Forwarded-For or Forwarded (RFC 7239). Pure."""

import re
from collections.abc import Container, Iterator, Mapping

from edge.protocol.proxies.networks import parse_address

HIDDEN = "unknown"  # as RFC 7239 has it
# One element's `for`, quoted or not; a quoted string may hold a comma or a semicolon.
_FOR = re.compile(r'(?:^|[;,\s])for="?([^",;\s]+)"?', re.IGNORECASE)
_PORT = re.compile(r"\[([^\]]+)\](?::\d+)?|([^:]+):\d+")


def client_address(peer: str, headers: Mapping[str, str], trusted: Container[str]) -> str:
    """Return the address that a request comes from: the last one on its way that is not trusted, or "" if all are.

    Each proxy adds the address that it was asked from on the right, and only trusted ones are believed. All clients
    whose address a proxy hides are one.
    """
    if peer not in trusted:
        return peer
    for address in _from_the_right(headers):
        if address not in trusted:
            return address if parse_address(address) is not None else HIDDEN
    return ""


def _from_the_right(headers: Mapping[str, str]) -> Iterator[str]:
    """Yield the addresses that the proxies gave, the nearest first."""
    listed = headers.get("x-forwarded-for", "")
    found: list[str] = listed.split(",") if listed else _FOR.findall(headers.get("forwarded", ""))
    for text in reversed(found):
        yield _without_port(text.strip())


def _without_port(text: str) -> str:
    """Return an address without its port and brackets."""
    found = _PORT.fullmatch(text)
    return (found[1] or found[2]) if found is not None else text
