"""Edges, publisher and Valkey behind each load balancer. Chromium tests may use these fixtures, too."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from tests.cluster.processes import Cluster
from tests.cluster.running import logs, running
from tests.lb.balancers import BALANCERS, Balancer, Certificate, edges_behind, installed, self_signed

_numbers = count(1)
_balancers: list[Balancer] = []

QUICK_HEARTBEAT = {"COMET_HEARTBEAT": "0.5"}

EACH = [
    pytest.param(
        kind,
        id=kind.__name__.lower(),
        marks=pytest.mark.skipif(not installed(kind), reason=f"{kind.program} is not installed (Debian: the same)"),
    )
    for kind in BALANCERS
]


@contextmanager
def balancing(balancer: Balancer) -> Iterator[Balancer]:
    """Run a balancer while the block runs."""
    _balancers.append(balancer)
    try:
        balancer.start()
        yield balancer
    finally:
        balancer.stop()
        _balancers.remove(balancer)


@pytest.fixture(scope="session")
def edges(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return a cluster that no test breaks, with the demo."""
    with running(edges_behind(tmp_path_factory.mktemp("edges"), COMET_DEMO="1", **QUICK_HEARTBEAT)) as cluster:
        yield cluster


@pytest.fixture
def fragile_edges(tmp_path: Path) -> Iterator[Cluster]:
    """Return a cluster of which anything may be killed."""
    with running(edges_behind(tmp_path)) as cluster:
        yield cluster


@pytest.fixture(scope="module", params=EACH)
def balancer(
    request: pytest.FixtureRequest, edges: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Balancer]:
    """Return each load balancer with its shipped configuration, and the demo switched on."""
    with balancing(request.param(tmp_path_factory.mktemp("lb"), edges.edges, edges.publisher, demo="1")) as balancer:
        yield balancer


@pytest.fixture(scope="module", params=EACH)
def hasty_balancer(
    request: pytest.FixtureRequest, edges: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Balancer]:
    """Return each load balancer with time-outs of one second."""
    folder = tmp_path_factory.mktemp("lb")
    with balancing(request.param(folder, edges.edges, edges.publisher, time_out="1s")) as balancer:
        yield balancer


@pytest.fixture(scope="module", params=EACH)
def tls_balancer(
    request: pytest.FixtureRequest,
    edges: Cluster,
    certificate: Certificate,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Balancer]:
    """Return each load balancer with its TLS example switched on."""
    folder = tmp_path_factory.mktemp("lb")
    with balancing(request.param(folder, edges.edges, edges.publisher, certificate=certificate)) as balancer:
        yield balancer


@pytest.fixture(params=EACH)
def fragile_balancer(request: pytest.FixtureRequest, fragile_edges: Cluster, tmp_path: Path) -> Iterator[Balancer]:
    """Return each load balancer in front of edges that may be killed."""
    with balancing(request.param(tmp_path, fragile_edges.edges, fragile_edges.publisher)) as balancer:
        yield balancer


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """Return a certificate for localhost."""
    return self_signed(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def channel() -> str:
    """Return a channel name that no other test uses."""
    return f"lb-{next(_numbers)}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the processes' logs with a test that failed."""
    report = yield
    if report.failed:
        report.sections += logs() + [(f"log of {one.name}", one.log) for one in _balancers]
    return report
