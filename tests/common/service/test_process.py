import asyncio
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry

from common.service.process import (
    MACOS_FILES,
    UNLIMITED_FILES,
    give_back_memory,
    max_open_files,
    measure_lag,
    raise_open_files,
    register_process,
)
from common.service.version import our_build, our_version

RAISE = """
import resource
from common.service.process import max_open_files, raise_open_files
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
raise_open_files()
print(max_open_files() > 256, resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard))
"""


def test_a_process_takes_all_open_files_that_it_may_have() -> None:
    """The soft limit becomes the hard one, which stays."""
    answer = subprocess.run([sys.executable, "-c", RAISE], capture_output=True, text=True, check=True)
    assert answer.stdout == "True True\n"


class FakeLimits:
    """A system with these limits, which grants no more than `most`."""

    def __init__(self, soft: int, hard: int, most: int) -> None:
        self.now, self._most = (soft, hard), most

    def getrlimit(self, _: int) -> tuple[int, int]:
        """Tell the limits."""
        return self.now

    def setrlimit(self, _: int, wanted: tuple[int, int]) -> None:
        """Set them, or refuse as macOS does."""
        if wanted[0] > self._most:
            raise ValueError("current limit exceeds maximum limit")
        self.now = wanted


INFINITY = 2**63 - 1  # what macOS calls it


@pytest.mark.parametrize(
    ("limits", "soft"),
    [
        (FakeLimits(256, INFINITY, MACOS_FILES), MACOS_FILES),
        (FakeLimits(20_000, INFINITY, 24_000), 20_000),
        (FakeLimits(256, INFINITY, 8_000), 256),
        (FakeLimits(INFINITY, INFINITY, INFINITY), INFINITY),
    ],
    ids=["macOS", "more already", "not even that", "no limit"],
)
def test_a_hard_limit_that_cannot_be_had_is_no_trouble(
    monkeypatch: pytest.MonkeyPatch, limits: FakeLimits, soft: int
) -> None:
    """What is called infinite may not be granted; then it is as much as goes, and never less than before."""
    monkeypatch.setattr(resource, "RLIM_INFINITY", INFINITY)
    monkeypatch.setattr(resource, "getrlimit", limits.getrlimit)
    monkeypatch.setattr(resource, "setrlimit", limits.setrlimit)
    raise_open_files()
    assert limits.now == (soft, INFINITY)
    assert max_open_files() == (UNLIMITED_FILES if soft == INFINITY else soft)


def test_a_process_tells_what_runs() -> None:
    """The version of the product and of Python, and the build."""
    registry = CollectorRegistry()
    register_process(registry)
    labels = {"version": our_version(), "python": platform.python_version(), "build": our_build()}
    assert registry.get_sample_value("comet_build_info", labels) == 1


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


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("tells", [True, False], ids=["Linux from 6.2 on", "Linux before"])
def test_open_files_are_counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tells: bool) -> None:
    """As many as there are, whether the system tells the number or lists them; and how many there may be."""
    if not tells:
        monkeypatch.setattr("common.service.process.FILES", UnsizedFolder())
    registry = CollectorRegistry()
    register_process(registry)
    before = registry.get_sample_value("process_open_fds") or 0
    held = [(tmp_path / "file").open("w") for _ in range(50)]
    after = registry.get_sample_value("process_open_fds") or 0
    for one in held:
        one.close()
    assert (before > 2, after - before) == (True, 50)
    assert registry.get_sample_value("process_max_fds") == resource.getrlimit(resource.RLIMIT_NOFILE)[0]


class UnsizedFolder:
    """The folder of open files on a system that does not tell its size."""

    def stat(self) -> SimpleNamespace:
        """Tell no size."""
        return SimpleNamespace(st_size=0)

    def __fspath__(self) -> str:
        return "/proc/self/fd"


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


def test_memory_can_be_given_back_at_any_time() -> None:
    """It costs nothing but time, and where the C library cannot do it nothing happens."""
    give_back_memory()
