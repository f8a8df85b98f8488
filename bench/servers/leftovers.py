"""Whether servers are as they were once all clients have left: their descriptors, exactly, and their memory.

The interpreter keeps most of the memory it once had for later connections, so memory does not fall back to where it
was. Two bars hold instead: what is kept is no more than the connections may have taken, and as many connections that
come and go again add nothing. An edge remembers a closed connection until the deadline of its request head, so the
measurement waits for that.
"""

import time
from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

from bench.report.checks import Check, at_most, equal
from bench.report.console import progress
from bench.system.accounting import open_files, pss_bytes, settle, sockets_to
from bench.system.memory import MIB

CLOSE_TIMEOUT = 60.0
POLL_INTERVAL = 0.1
MAX_KEPT_BYTES = 1000  # for each connection, and for each channel that an edge had
MAX_KEPT_MIB = 4.0  # for each process: the latest messages of its channels, and what it loads when it is first needed
MAX_GROWTH_MIB = 1.0  # of each process


class Servers(Protocol):
    """One or several processes, and the port of the Redis they use (0: none)."""

    @property
    def pids(self) -> list[int]:
        """Return the processes."""

    @property
    def redis_port(self) -> int:
        """Return the port."""


class Rest(NamedTuple):
    """What servers have while no client asks anything of them."""

    files: int  # without connections to Redis, of which a server may keep as many as it once needed
    memory: int


class Leftovers(NamedTuple):
    """What servers have more than before when all clients have left."""

    seats: int  # connections; where there are many, also channels of each edge
    processes: int
    files: int
    kept: int
    growth: int  # by as many connections that came and went again
    parked: int = 0  # bytes that were parked for slow readers meanwhile: the heap they were in may stay in pieces

    def rows(self, column: str = "edge") -> dict[str, dict[str, float]]:
        """Return the rows of the table, in one of its columns."""
        return {check.what: {column: check.value or 0} for check in self.checks()}

    def checks(self) -> list[Check]:
        """Hold it against the bars."""
        kept = (MAX_KEPT_BYTES * self.seats + self.parked / 2) / MIB + MAX_KEPT_MIB * self.processes
        growth = MAX_GROWTH_MIB * self.processes
        return [
            equal("afterwards: descriptors left behind", self.files, 0),
            at_most("afterwards: memory kept, MiB", self.kept / MIB, kept),
            at_most("afterwards: memory added by coming again, MiB", self.growth / MIB, growth),
        ]


class Baseline:
    """What servers had before the first client came, to compare with."""

    def __init__(self, servers: Servers, forget_seconds: float) -> None:
        self._servers = servers
        self._forget_seconds = forget_seconds
        self._before = at_rest(servers)

    def compare(self, seats: int, come_and_go: Callable[[], None]) -> Leftovers:
        """Return what is left behind by `seats` connections that have gone, and by as many again."""
        progress("all clients have left, and as many come and go twice …")
        self._come_and_go(come_and_go)
        after = at_rest(self._servers)
        self._come_and_go(come_and_go)
        again = at_rest(self._servers)
        files, kept = again.files - self._before.files, after.memory - self._before.memory
        return Leftovers(seats, len(self._servers.pids), files, kept, again.memory - after.memory)

    def _come_and_go(self, come_and_go: Callable[[], None]) -> None:
        self._wait_for_files()
        come_and_go()
        self._wait_for_files()
        time.sleep(self._forget_seconds)

    def _wait_for_files(self) -> None:
        """Wait until all descriptors are closed; if they never are, the numbers show it."""
        deadline = time.monotonic() + CLOSE_TIMEOUT
        while count_files(self._servers) > self._before.files and time.monotonic() < deadline:
            time.sleep(POLL_INTERVAL)


def worst(several: Iterable[Leftovers]) -> Leftovers:
    """Return the most that was left behind of each kind."""
    return Leftovers(*map(max, zip(*several, strict=True)))


def at_rest(servers: Servers) -> Rest:
    """Return what servers have once they sleep."""
    for pid in servers.pids:
        settle(pid)
    return Rest(count_files(servers), sum(map(pss_bytes, servers.pids)))


def count_files(servers: Servers) -> int:
    """Return the number of descriptors that servers have open, those to Redis apart."""
    opened = [open_files(pid) for pid in servers.pids]
    to_redis = sockets_to(servers.redis_port) if servers.redis_port else set()
    return sum(len(links) - len(to_redis.intersection(links)) for links in opened)
