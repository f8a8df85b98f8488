"""The kernel's settings that very many connections need: shown, and raised for a while where they are too low."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.report.console import progress

SYS = Path("/proc/sys")
PAGES_PER_SOCKET = 1  # of TCP buffers, at the worst moment of a broadcast


def wanted(connections: int) -> dict[str, str]:
    """Return the least values for `connections` when both of their ends are on this machine."""
    pages, files = 2 * connections * PAGES_PER_SOCKET, 2 * connections + 100_000
    return {
        "fs/file-max": str(files),
        "fs/epoll/max_user_watches": str(files),
        "net/core/somaxconn": "4096",
        "net/ipv4/ip_local_port_range": "",  # 10 addresses for each client process: the default is enough
        "net/ipv4/tcp_mem": f"{pages // 4} {pages // 2} {pages}",
        "net/netfilter/nf_conntrack_max": "" if not _tracks_connections() else str(files),
    }


@contextmanager
def prepared(connections: int) -> Iterator[dict[str, str]]:
    """Raise what is too low while the block runs, say what each setting is, and yield that."""
    names = {name: value for name, value in wanted(connections).items() if (SYS / name).exists()}
    before = {name: _read(name) for name in names}
    try:
        yield {name: _raise(name, before[name], value) for name, value in names.items()}
    finally:
        for name, value in before.items():
            if _read(name) != value:
                _write(name, value)


def _raise(name: str, before: str, least: str) -> str:
    """Set one setting to its least value if it is lower; say and return what it is."""
    if _is_lower(before, least):
        _write(name, least)
    now = _read(name)
    note = f" (was {before})" if now != before else " (too low)" if _is_lower(now, least) else ""
    progress(f"{name.replace('/', '.')} = {now}{note}")
    return now


def _is_lower(value: str, least: str) -> bool:
    return bool(least) and any(int(have) < int(need) for have, need in zip(value.split(), least.split(), strict=True))


def _tracks_connections() -> bool:
    count = SYS / "net/netfilter/nf_conntrack_count"
    return count.exists() and int(count.read_text()) > 0


def _read(name: str) -> str:
    return " ".join((SYS / name).read_text().split())


def _write(name: str, value: str) -> None:
    try:
        (SYS / name).write_text(value)
    except OSError as error:
        progress(f"{name.replace('/', '.')} cannot be set: {error.strerror}")
