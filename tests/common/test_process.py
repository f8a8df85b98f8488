import asyncio
import time

from prometheus_client import CollectorRegistry

from common.process import measure_lag, register_process


def test_a_process_tells_what_it_takes() -> None:
    """CPU time, memory and the time of the start, under the names that Prometheus' clients share."""
    registry = CollectorRegistry()
    register_process(registry)
    cpu, started = (
        registry.get_sample_value(f"process_{name}") for name in ("cpu_seconds_total", "start_time_seconds")
    )
    assert cpu is not None
    assert started is not None
    assert 0 < cpu < time.process_time() + 1
    assert time.time() - 86400 < started <= time.time()
    memory = registry.get_sample_value("process_resident_memory_bytes")
    assert memory is None or 1 << 20 < memory < 1 << 36


async def test_a_loop_that_is_held_up_shows() -> None:
    """A callback that takes long makes the next timer late by as much."""
    seen: list[float] = []
    task = asyncio.create_task(measure_lag(seen.append))
    await asyncio.sleep(0)
    time.sleep(0.7)  # noqa: ASYNC251  # this is what is measured
    while not seen:  # noqa: ASYNC110  # a list sets no event
        await asyncio.sleep(0.01)
    task.cancel()
    assert 0.15 < seen[0] < 0.7 + 5
