"""What memory is used for: by processes, and by the kernel for their sockets."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

MIB = 2**20


class Memory(NamedTuple):
    """Memory of some processes in bytes: as resident, and with shared pages counted by their share."""

    rss: int = 0
    pss: int = 0


def of_processes(pids: Iterable[int]) -> Memory:
    """Return the memory of all these processes together."""
    return Memory(*map(sum, zip(*map(_rollup, pids), strict=True)))


def _rollup(pid: int) -> Memory:
    fields = _kibibytes(Path(f"/proc/{pid}/smaps_rollup"))
    return Memory(fields["Rss"], fields["Pss"])


def of_kernel() -> dict[str, int]:
    """Return what the kernel has in its slabs and in the buffers of TCP, and what it could still give, in bytes."""
    fields = _kibibytes(Path("/proc/meminfo"))
    return {"slab": fields["Slab"], "tcp": tcp_pages() * 4096, "available": fields["MemAvailable"]}


def used() -> int:
    """Return the memory of this machine that is not available, in bytes."""
    fields = _kibibytes(Path("/proc/meminfo"))
    return fields["MemTotal"] - fields["MemAvailable"]


def tcp_pages() -> int:
    """Return the number of pages in the buffers of all TCP sockets."""
    for line in Path("/proc/net/sockstat").read_text().splitlines():
        words = line.split()
        if words[0] == "TCP:":
            return int(words[words.index("mem") + 1])
    raise RuntimeError("no TCP in /proc/net/sockstat")


def _kibibytes(path: Path) -> dict[str, int]:
    lines = (line.split() for line in path.read_text().splitlines())
    return {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines if words[-1] == "kB"}
