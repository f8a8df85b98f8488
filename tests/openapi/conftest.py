"""The servers that the documents are about: a cluster, a publisher with keys, and processes that have no Redis."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.cluster.clients import StreamClient, get
from tests.cluster.processes import Cluster, Service, free_ports
from tests.cluster.running import running
from tests.cluster.waiting import STARTING, until

KEY = "a-key-of-the-shop-backend"
SETTINGS = {"COMET_MAX_MESSAGE_BYTES": "4096", "COMET_DEMO": "1"}


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return a cluster with a message in the channel `news`."""
    with running(Cluster(tmp_path_factory.mktemp("cluster"), **SETTINGS)) as cluster:
        cluster.publish("news", "hi")
        yield cluster


@pytest.fixture(scope="module")
def ending(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return a cluster whose processes may be told to end."""
    with running(Cluster(tmp_path_factory.mktemp("ending"), edges="a", **SETTINGS)) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def guarded(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Return a publisher that wants a key."""
    settings = SETTINGS | {"COMET_PUBLISH_KEYS": KEY}
    yield from started("publisher", cluster.valkey.url, settings, tmp_path_factory)


@pytest.fixture(scope="session")
def lonely_publisher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Return a publisher that has no Redis."""
    yield from started("publisher", f"redis://127.0.0.1:{free_ports(1)[0]}", SETTINGS, tmp_path_factory)


@pytest.fixture(scope="session")
def lonely_edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Return an edge that has no Redis."""
    yield from started("edge", f"redis://127.0.0.1:{free_ports(1)[0]}", {}, tmp_path_factory)


def started(kind: str, redis: str, settings: dict[str, str], folders: pytest.TempPathFactory) -> Iterator[Service]:
    """Run one more process."""
    service = Service(kind, kind, redis, settings, folders.mktemp(kind))
    try:
        service.start()
        until(lambda: service.status("/healthz") == 200, STARTING)
        yield service
    finally:
        service.stop()


@pytest.fixture
def audience(cluster: Cluster) -> Iterator[None]:
    """Have one subscriber of `room` on each edge, and no others."""
    until(lambda: get(cluster.publisher.port, "/info").json["connections"] == 0)
    with ExitStack() as stack:
        for edge in cluster.edges:
            stack.enter_context(StreamClient(edge.port, "room"))
        yield
