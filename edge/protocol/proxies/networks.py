"""Addresses of clients and networks: which of them are trusted, and which count as one client. Pure."""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from common.url import parse_network

CLIENT_PREFIX = 64  # bits of an address of IPv6 that are one client: it may have any address of such a network


class Networks:
    """Some networks; an address of IPv4 that is written as one of IPv6 is the address of IPv4."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._networks = [parse_network(text) for text in texts]

    def __bool__(self) -> bool:
        return bool(self._networks)

    def __contains__(self, address: object) -> bool:
        found = parse_address(address) if isinstance(address, str) else None
        return found is not None and any(found in network for network in self._networks)


@lru_cache(maxsize=1024)
def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """Parse an address, without its zone; None if it is none."""
    try:
        found = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return found.ipv4_mapped or found if isinstance(found, IPv6Address) else found


@lru_cache(maxsize=1024)
def client_of(address: str) -> str:
    """Return the client that an address counts as; the address as it is written if it is none."""
    found = parse_address(address)
    if isinstance(found, IPv6Address):
        return str(ip_network((found, CLIENT_PREFIX), strict=False))
    return str(found) if found is not None else address
