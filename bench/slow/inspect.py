"""What can be seen of a server while readers are stuck on it: its descriptors, its memory, and what an edge counts."""

import time
from collections.abc import Sequence
from typing import NamedTuple

from bench.servers.metrics import read_metrics
from bench.servers.server import Server
from bench.system.accounting import open_files

LIMITS = ("seconds", "bytes", "total")


class Snapshot(NamedTuple):
    """What was seen, and when; `parked` bytes and `cut` readers are an edge's own numbers."""

    at: float
    files: int
    memory: int
    parked: float = 0.0
    cut: tuple[float, ...] = ()  # since the start of the edge, by the limit they crossed; of another server nothing

    def gone_since(self, start: "Snapshot") -> int:
        """Return the number of stuck readers that are gone: of another server than an edge, by its descriptors."""
        return int(sum(self.cut) - sum(start.cut)) if self.cut else start.files - self.files


class Judgement(NamedTuple):
    """What became of the stuck readers, and what they cost; times in seconds, None: not all were cut."""

    cut: int
    by_limit: tuple[float, ...]
    seconds_from_start: float | None  # from the first message to the last cut
    seconds_from_parking: float | None  # from the first bytes that the edge parked to the last cut
    parked: float  # bytes at most, by the edge's own count
    growth: int  # bytes of memory at most
    kept: int  # of the growth, when all is over


def inspect(server: Server) -> Snapshot:
    """Inspect a server now; the clock is read last, so that what is seen has happened by then."""
    files = sum(len(open_files(pid)) for pid in server.pids)
    memory = server.pss_bytes()
    if not server.admin_port:
        return Snapshot(time.monotonic(), files, memory)
    counted = read_metrics(server.admin_port)
    cut = tuple(counted[f'comet_slow_readers_cut_total{{limit="{limit}"}}'] for limit in LIMITS)
    return Snapshot(time.monotonic(), files, memory, counted["comet_parked_bytes"], cut)


def judge(snapshots: Sequence[Snapshot], stuck: int) -> Judgement:
    """Judge what was seen from the moment when all of `stuck` readers were connected."""
    start, end = snapshots[0], snapshots[-1]
    parked = next((one.at for one in snapshots if one.parked), None)
    gone = next((one.at for one in snapshots if one.gone_since(start) >= stuck), None)
    return Judgement(
        cut=end.gone_since(start),
        by_limit=tuple(after - before for after, before in zip(end.cut, start.cut, strict=True)),
        seconds_from_start=None if gone is None else gone - start.at,
        seconds_from_parking=None if parked is None or gone is None else gone - parked,
        parked=max(one.parked for one in snapshots),
        growth=max(one.memory for one in snapshots) - start.memory,
        kept=end.memory - start.memory,
    )
