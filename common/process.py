"""What every process says of itself: its version, how late its loop is, what it takes of the machine."""

import asyncio
import os
import platform
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from common.version import our_version

LAG_PERIOD = 0.5
STATM = Path("/proc/self/statm")
STARTED_AT = time.time()


def register_process(registry: CollectorRegistry) -> None:
    """Add `comet_build_info`, and the `process_` series that cost nothing to look up."""
    disable_created_metrics()  # type: ignore[no-untyped-call]  # a series more for each counter, that nobody asks for
    build = Gauge("comet_build_info", "Always 1.", ("version", "python"), registry=registry)
    build.labels(our_version(), platform.python_version()).set(1)
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
        yield CounterMetricFamily("process_cpu_seconds", "CPU time, user and system.", value=time.process_time())
        yield GaugeMetricFamily("process_start_time_seconds", "When it started, in Unix time.", value=STARTED_AT)
        if STATM.exists():
            resident = int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
            yield GaugeMetricFamily("process_resident_memory_bytes", "Memory in RAM.", value=resident)
