"""The names under which a process may be asked: those that no stranger can have a name server lead to it. Pure.

A page can have its own name lead to an address in the network of whoever opens it (DNS rebinding). The browser then
takes the server there for the page's own, and keeps nothing from it; but it sends the page's name as the Host. No
stranger can register an address, a name without a dot, or a name below the domains of OF_NETWORKS.
"""

import re
from functools import lru_cache
from ipaddress import ip_address
from typing import NamedTuple

from common.errors import RequestError
from common.url import WILDCARD

OF_NETWORKS = (".localhost", ".svc", ".cluster.local", ".internal")
MISDIRECTED = 421  # RFC 9110 section 15.5.20
MAX_HOST = 260  # characters: the longest name, and a port
MAX_SHOWN = 100
_HOST = re.compile(r"([a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.?|\[[0-9a-f:.]+(?:%[a-z0-9._~-]+)?\])(?::([0-9]{0,5}))?", re.ASCII)


class Host(NamedTuple):
    """What a Host header names: a name or an address in lower case, without brackets; the port if it has one."""

    name: str
    port: str


def parse_host(text: str) -> Host | None:
    """Read the value of a Host header, or what an origin has after its scheme; None if it is neither."""
    match = _HOST.fullmatch(text.lower()) if len(text) <= MAX_HOST else None
    if match is None:
        return None
    name = match[1].strip("[]").removesuffix(".")
    if ":" in name and not _is_address(name):
        return None
    return Host(name, (match[2] or "").lstrip("0"))


class Hosts:
    """The names of COMET_HOSTS, and those that need no setting; `*.example.com` stands for all names below it."""

    def __init__(self, named: tuple[str, ...] = ()) -> None:
        self._named = frozenset(each.strip("[]").removesuffix(".") for each in named if not each.startswith(WILDCARD))
        self._below = tuple(each[1:].removesuffix(".") for each in named if each.startswith(WILDCARD))
        self._has = lru_cache(maxsize=256)(self._is_ours)  # the clients of one process use few names

    def check(self, host: str) -> None:
        """Raise `RequestError` 421 for a Host that is not ours; a request without one comes from no browser."""
        if host and not self._has(host[: MAX_HOST + 1]):
            raise RequestError(
                f"Host: {host[:MAX_SHOWN]!r} is no name of this server; ask it by its address, or add the name to "
                "COMET_HOSTS",
                MISDIRECTED,
            )

    def _is_ours(self, text: str) -> bool:
        host = parse_host(text)
        if host is None:
            return False
        name = host.name
        if "." not in name or name in self._named or name.endswith((*OF_NETWORKS, *self._below)):
            return True
        return _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
