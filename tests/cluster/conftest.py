"""Clusters for the tests: one for all that leave it as it was, one of its own for a module that breaks things."""

from collections.abc import Generator, Iterator
from itertools import count

import pytest

from tests.cluster.processes import Cluster
from tests.cluster.running import logs, running

_numbers = count(1)

SETTINGS = {"COMET_HEADER_TIMEOUT": "1", "COMET_MAX_MESSAGE_BYTES": "4096"}


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return a cluster that all tests share; no test restarts anything in it."""
    with running(Cluster(tmp_path_factory.mktemp("cluster"), **SETTINGS)) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def fragile_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return a cluster whose Valkey may be killed."""
    with running(Cluster(tmp_path_factory.mktemp("cluster"), **SETTINGS)) as cluster:
        yield cluster


@pytest.fixture
def channel() -> str:
    """Return a channel name that no other test uses."""
    return f"room-{next(_numbers)}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the processes' logs with a test that failed."""
    report = yield
    if report.failed:
        report.sections += logs()
    return report
