"""Clusters that are broken on purpose: each test gets one of its own."""

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.cluster.processes import Cluster, free_ports
from tests.cluster.running import logs, running
from tests.faults.pair import Pair
from tests.faults.proxy import Proxy
from tests.faults.trial import Trial

AOF = ("--appendonly", "yes", "--appendfsync", "always")
SETTINGS = {"COMET_AUDIT": "2", "COMET_HEARTBEAT": "2", "COMET_POLL_TIMEOUT": "5", "COMET_HISTORY_SIZE": "2000"}

StartTrial = Callable[..., Trial]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Return what ends everything that a test began, the last first."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def start(stack: ExitStack, tmp_path: Path) -> StartTrial:
    """Return a function that starts a cluster and a trial on it; what it is given goes to the cluster."""

    def start_trial(**options: object) -> Trial:
        cluster = Cluster(tmp_path, **(SETTINGS | options))  # type: ignore[arg-type]
        return stack.enter_context(Trial(stack.enter_context(running(cluster))))

    return start_trial


@pytest.fixture
def proxy_to(stack: ExitStack) -> Callable[[int], Proxy]:
    """Return a function that starts a proxy in front of a port."""

    def start_proxy(target: int) -> Proxy:
        proxy = Proxy(target).start()
        stack.callback(proxy.stop)
        return proxy

    return start_proxy


@pytest.fixture
def ports() -> list[int]:
    """Return the ports of a primary and of its replica."""
    return free_ports(2)


@pytest.fixture
def proxy(ports: list[int], proxy_to: Callable[[int], Proxy]) -> Proxy:
    """Return a proxy that leads to the primary."""
    return proxy_to(ports[0])


@pytest.fixture
def pair(stack: ExitStack, tmp_path: Path, ports: list[int], proxy: Proxy) -> Pair:
    """Return a primary, a replica that is in step, and a cluster behind the proxy that is ready."""
    return Pair(stack, tmp_path, ports, proxy.url)


@pytest.fixture
def channel() -> str:
    """Return a channel name; every test has a cluster of its own."""
    return "room"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the processes' logs with a test that failed."""
    report = yield
    if report.failed:
        report.sections += logs()
    return report
