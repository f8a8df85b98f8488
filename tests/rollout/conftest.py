"""A cluster in the middle of a roll-out: an edge and a publisher of an older commit beside those of this checkout."""

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.cluster.conftest import channel, pytest_runtest_makereport
from tests.cluster.processes import ROOT, Cluster, Service
from tests.cluster.running import running
from tests.cluster.waiting import STARTING, until

__all__ = ["channel", "pytest_runtest_makereport"]


class MixedCluster(Cluster):
    """Edge `a` and `publisher` are of this checkout, edge `b` and `older_publisher` of the older commit."""

    def __init__(self, folder: Path, older: Path, **settings: str) -> None:
        super().__init__(folder, **settings)
        self.older_publisher = Service("publisher", "older-publisher", self.valkey.url, settings, folder)
        self.services = (*self.services, self.older_publisher)
        for service in (self.b, self.older_publisher):
            service.run_from(older)


@pytest.fixture(scope="module")
def older(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a checkout of the older commit, which the module of the tests names as `BEFORE`."""
    return checkout(request.module.BEFORE, tmp_path_factory.mktemp("older"))


def checkout(commit: str, folder: Path) -> Path:
    """Check a commit out into an empty folder, and return that."""
    known = subprocess.run(["git", "cat-file", "-e", commit], cwd=ROOT, capture_output=True, check=False)
    if known.returncode:
        pytest.skip(f"this machine is without the history up to {commit}")
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=True)
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)
    return folder


@pytest.fixture(scope="module")
def mixed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, older: Path
) -> Iterator[MixedCluster]:
    """Yield a mixed cluster that runs, with the `SETTINGS` of the module of the tests; every edge is announced."""
    settings: dict[str, str] = getattr(request.module, "SETTINGS", {})
    with ExitStack() as stack:
        cluster = stack.enter_context(running(MixedCluster(tmp_path_factory.mktemp("mixed"), older, **settings)))
        assert isinstance(cluster, MixedCluster)
        until(lambda: all(service.ready for service in cluster.services), STARTING)
        yield cluster
