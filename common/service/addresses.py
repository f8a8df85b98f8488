"""The addresses that the setting of a host stands for, and the sockets that listen on them.

`localhost` is both loopback addresses, a name is every address that it has on this machine, and `::` is every address
of the machine, of IPv4, too. A client of IPv4 on such a socket has an address like `::ffff:192.0.2.7`.
"""

import errno
import socket
from collections.abc import Callable, Iterator
from ipaddress import ip_address

from common.logs import get_logger

ALL, ALL_IPV4 = "::", "0.0.0.0"
LOOPBACKS = ("127.0.0.1", "::1")
MAX_TRIES = 20  # of finding a port that is free on several addresses
BACKLOG = 4096
NOT_HERE = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}  # the machine does not have such an address: no IPv6, mostly

Prepare = Callable[[socket.socket], None]


def open_listeners(host: str, port: int, prepare: Prepare = lambda listener: None) -> list[socket.socket]:
    """Return a listening socket for each address of a host, all on one port; with port 0 that is any free one.

    `prepare` sets further options of a socket before it listens. Of several addresses, those that this machine does
    not have are left out. Raises OSError, or UnicodeError for a host that cannot be looked up as a name.
    """
    for _ in range(MAX_TRIES - 1):
        try:
            return _open_all(host, port, prepare)
        except OSError as error:
            if port or error.errno != errno.EADDRINUSE:
                raise
    return _open_all(host, port, prepare)


def _open_all(host: str, port: int, prepare: Prepare) -> list[socket.socket]:
    listeners: list[socket.socket] = []
    missing: OSError | None = None
    try:
        for family, where in _addresses(host):
            try:
                listeners.append(_open(family, where, listeners[0].getsockname()[1] if listeners else port, prepare))
            except OSError as error:
                if error.errno not in NOT_HERE:
                    raise
                missing = error
        if not listeners and missing is not None:
            raise missing
    except BaseException:
        for listener in listeners:
            listener.close()
        raise
    return listeners


def _addresses(host: str) -> Iterator[tuple[int, str]]:
    """Yield the family of each address of a host, and how it is written."""
    if host == ALL and not has_address(ALL):
        get_logger().warning("this machine has no IPv6; listening on its IPv4 addresses only", host=ALL_IPV4)
        host = ALL_IPV4
    for name in LOOPBACKS if host == "localhost" else (host.removeprefix("[").removesuffix("]"),):
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        yield from dict.fromkeys((int(family), str(where[0])) for family, _, _, _, where in found)


def has_address(where: str) -> bool:
    """Say whether this machine can listen on an address."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in where else socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.bind((where, 0))
    except OSError:
        return False
    return True


def is_loopback(address: str) -> bool:
    """Say whether an address, as a socket tells it, is this machine's own."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return (getattr(parsed, "ipv4_mapped", None) or parsed).is_loopback


def is_only_here(host: str) -> bool:
    """Say whether all addresses of a host are loopback ones; raises what `open_listeners` does."""
    return host != ALL and all(is_loopback(where) for _, where in _addresses(host))


def _open(family: int, where: str, port: int, prepare: Prepare) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, where != ALL)
        prepare(listener)
        listener.setblocking(False)
        listener.bind((where, port))
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener
