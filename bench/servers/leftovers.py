"""Whether servers are as they were once everybody has left: their descriptors, exactly, and their memory.

The interpreter keeps most of what it once had for those who come next, so memory does not fall back to where it was.
It is held to two bars instead: what is kept is no more than the connections may have taken, and as many who come and
go again add nothing. An edge remembers who has left until the deadline of its request head, so that is waited for.
"""

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple, Protocol

from bench.report.outcome import Check, at_most, equal, progress
from bench.system.processes import pss_bytes, settle

PATIENCE = 60.0
KEPT_BYTES = 1000  # for each connection, and for each channel that an edge had
KEPT_MIB = 4.0  # for each process: the latest messages of its channels, and what it loads when it is first needed
GROWTH_MIB = 1.0  # of each process
MIB = 2**20


class Servers(Protocol):
    """One or several processes, and the port of the Redis they use (0: none)."""

    @property
    def pids(self) -> list[int]:
        """Return the processes."""

    @property
    def redis_port(self) -> int:
        """Return the port."""


class Rest(NamedTuple):
    """What servers have when nobody asks anything of them."""

    files: int  # without connections to Redis, of which a server may keep as many as it once needed
    memory: int


class Leftovers(NamedTuple):
    """What servers have more than before when everybody has left."""

    seats: int  # connections; where there are many, also channels of each edge
    processes: int
    files: int
    kept: int
    growth: int  # by as many who came and went again
    parked: int = 0  # bytes that were parked for slow readers meanwhile: the heap they were in may stay in pieces

    def rows(self, column: str = "edge") -> dict[str, dict[str, float]]:
        """Return the rows of the table, in one of its columns."""
        return {check.what: {column: check.value or 0} for check in self.checks()}

    def checks(self) -> list[Check]:
        """Hold it against the bars."""
        kept = (KEPT_BYTES * self.seats + self.parked / 2) / MIB + KEPT_MIB * self.processes
        return [
            equal("afterwards: descriptors left behind", self.files, 0),
            at_most("afterwards: memory kept, MiB", self.kept / MIB, kept),
            at_most("afterwards: memory added by coming again, MiB", self.growth / MIB, GROWTH_MIB * self.processes),
        ]


class Baseline:
    """Knows what servers had before anybody came."""

    def __init__(self, servers: Servers, forget_seconds: float) -> None:
        self._servers = servers
        self._forget_seconds = forget_seconds
        self._before = at_rest(servers)

    def compare(self, seats: int, come_and_go: Callable[[], None]) -> Leftovers:
        """Say what is left behind by all who have gone, and by as many again."""
        progress("everybody has left, and as many come and go twice …")
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
        """Wait until all descriptors are closed; if they never are, that will be in the numbers."""
        deadline = time.monotonic() + PATIENCE
        while count_files(self._servers) > self._before.files and time.monotonic() < deadline:
            time.sleep(0.1)


def worst(several: Iterable[Leftovers]) -> Leftovers:
    """Return the most that was left behind of each kind."""
    return Leftovers(*map(max, zip(*several, strict=True)))


def at_rest(servers: Servers) -> Rest:
    """Return what servers have once they sleep."""
    for pid in servers.pids:
        settle(pid)
    return Rest(count_files(servers), sum(map(pss_bytes, servers.pids)))


def count_files(servers: Servers) -> int:
    """Return how many descriptors servers have open, those to Redis apart."""
    opened = [_opened(pid) for pid in servers.pids]
    to_redis = _sockets_to(servers.redis_port) if servers.redis_port else set()
    return sum(len(links) - len(to_redis.intersection(links)) for links in opened)


def _opened(pid: int) -> list[str]:
    links = []
    for path in Path(f"/proc/{pid}/fd").iterdir():
        try:
            links.append(str(path.readlink()))
        except FileNotFoundError:  # it was closed meanwhile
            continue
    return links


def _sockets_to(port: int) -> set[str]:
    """Return the sockets of this machine that are connected to a port."""
    lines = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return {f"socket:[{words[9]}]" for words in lines if int(words[2].rpartition(":")[2], 16) == port}
