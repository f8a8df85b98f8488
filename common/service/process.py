"""What every process takes of the machine, and what it says of itself: its version, how late its loop is."""

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

from common import metrics as series
from common.version import our_version

LAG_PERIOD = 0.5
STATM = Path("/proc/self/statm")
FILES = Path("/proc/self/fd")
STARTED_AT = time.time()
UNLIMITED_FILES = 1_048_576  # what "unlimited" is taken for: the bound that Linux has for one process
MACOS_FILES = 10_240  # what macOS grants where it calls its limit infinite


def raise_open_files() -> None:
    """Take as many open files as the system lets this process have: most give it 1024 of many more, by old custom."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in (hard, max(soft, MACOS_FILES)):
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            return


def most_open_files() -> int:
    """Return how many files this process may open."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return UNLIMITED_FILES if soft == resource.RLIM_INFINITY else soft


def give_back_memory() -> None:
    """Have the C library return to the system what it keeps of freed memory; glibc does (malloc_trim(3))."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def register_process(registry: CollectorRegistry) -> None:
    """Add `comet_build_info`, and the `process_` series that cost nothing to look up."""
    disable_created_metrics()  # type: ignore[no-untyped-call]  # a series more for each counter, that nobody asks for
    registry.register(_Process())


async def measure_lag(observe: Callable[[float], None]) -> None:
    """Tell, twice a second and until cancelled, how many seconds late the event loop wakes us."""
    clock = asyncio.get_running_loop().time
    while True:
        due = clock() + LAG_PERIOD
        await asyncio.sleep(LAG_PERIOD)
        observe(max(clock() - due, 0.0))


class _Process(Collector):
    """prometheus-client has one of these, which lists all open files: 50 ms of an edge with 15,000 of them."""

    def collect(self) -> Iterator[Metric]:
        yield series.BUILD_INFO.values({(our_version(), platform.python_version()): 1})
        yield series.CPU.value(time.process_time())
        yield series.STARTED.value(STARTED_AT)
        yield series.MOST_FILES.value(most_open_files())
        if STATM.exists():
            yield series.MEMORY.value(int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGESIZE"))
            yield series.OPEN_FILES.value(_open_files())


def _open_files() -> int:
    """Return how many files are open; Linux before 6.2 does not tell the number, and has to list them."""
    return FILES.stat().st_size or len(os.listdir(FILES))
