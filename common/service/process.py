"""What every process takes from the machine, and what it measures of itself."""

import asyncio
import ctypes
import os
import platform
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from prometheus_client import CollectorRegistry, disable_created_metrics
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from common.metrics import series
from common.service.version import our_build, our_version

LAG_INTERVAL = 0.5  # seconds between two measurements of the event loop's lag
STATM = Path("/proc/self/statm")
FILES = Path("/proc/self/fd")
STARTED_AT = time.time()
UNLIMITED_FILES = 1_048_576  # the meaning of "unlimited": Linux's default upper bound for one process
MACOS_FILES = 10_240  # the limit that macOS grants where it reports an infinite one


def raise_open_files() -> None:
    """Raise the limit of open files to the hard limit; the soft one is mostly 1024, for programs that use select(2)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in (hard, max(soft, MACOS_FILES)):
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            return


def max_open_files() -> int:
    """Return the number of files that this process may have open."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return UNLIMITED_FILES if soft == resource.RLIM_INFINITY else soft


def give_back_memory() -> None:
    """Let the C library return freed memory to the system; only glibc can (malloc_trim(3))."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def register_process(registry: CollectorRegistry) -> None:
    """Add `comet_build_info`, and the `process_` series that are cheap to read."""
    disable_created_metrics()  # type: ignore[no-untyped-call]  # they would add an unused series to each counter
    registry.register(_Process())


async def measure_lag(observe: Callable[[float], None]) -> None:
    """Call `observe` twice a second, until cancelled, with the seconds by which the event loop wakes this task late."""
    clock = asyncio.get_running_loop().time
    while True:
        due = clock() + LAG_INTERVAL
        await asyncio.sleep(LAG_INTERVAL)
        observe(max(clock() - due, 0.0))


class _Process(Collector):
    """The process's own series; prometheus-client's collector lists all open files, which takes 50 ms for 15,000."""

    def collect(self) -> Iterator[Metric]:
        yield series.BUILD_INFO.values({(our_version(), platform.python_version(), our_build()): 1})
        yield series.CPU.value(time.process_time())
        yield series.STARTED.value(STARTED_AT)
        yield series.MAX_OPEN_FILES.value(max_open_files())
        if STATM.exists():
            yield series.MEMORY.value(int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGESIZE"))
            yield series.OPEN_FILES.value(_open_files())


def _open_files() -> int:
    """Return the number of open files; Linux before 6.2 does not tell it, so they are listed there."""
    return FILES.stat().st_size or len(os.listdir(FILES))
