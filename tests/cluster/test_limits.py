"""Limits on real processes: by address behind a proxy, and a full edge before a crowd that says nothing."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.cluster.clients import HOST, StreamClient, exchange
from tests.cluster.processes import Cluster, Service
from tests.cluster.running import running
from tests.cluster.waiting import until

pytestmark = pytest.mark.system  # it takes half a minute, and more on a machine with other work

PLACES, CROWD, PER_ADDRESS = 100, 600, 3
LIMITS = {
    "COMET_MAX_CONNECTIONS": str(PLACES),
    "COMET_TRUSTED_PROXIES": "127.0.0.0/8",
    "COMET_MAX_CONNECTIONS_PER_ADDRESS": str(PER_ADDRESS),
    "COMET_NEW_CHANNELS_PER_MINUTE": "5",
    "COMET_SUBSCRIPTIONS_PER_SECOND": "20",
    "COMET_HISTORY_BYTES_PER_SECOND": "1000",
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return a cluster with one edge with all limits, whose clients come from a proxy on this machine."""
    with running(Cluster(tmp_path_factory.mktemp("cluster"), edges="a", **LIMITS)) as cluster:
        yield cluster


@pytest.fixture
def edge(cluster: Cluster) -> Service:
    """Return the edge."""
    return cluster.a


def asking(path: str, client: str, *, keep: bool = False) -> bytes:
    """Return a request as a proxy passes it on."""
    end = "keep-alive" if keep else "close"
    return f"GET {path} HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {client}\r\nConnection: {end}\r\n\r\n".encode()


def held(edge: Service, client: str, stack: ExitStack) -> bytes:
    """Ask for a stream, keep it, and return the first line of the answer."""
    connection = stack.enter_context(socket.create_connection((HOST, edge.port), 5))
    connection.sendall(asking("/sub?id=room", client, keep=True))
    return connection.recv(65536).partition(b"\r\n")[0]


def refused(edge: Service, limit: str) -> float:
    """Return how often a limit was crossed."""
    return edge.metric(f'comet_refused_total{{limit="{limit}"}}')


def test_one_address_has_so_many_connections_and_another_one_its_own(edge: Service) -> None:
    """The limit itself is allowed, one more gets a 429, and others do not notice."""
    with ExitStack() as stack:
        heads = [held(edge, "192.0.2.7", stack) for _ in range(PER_ADDRESS + 1)]
        assert heads == [b"HTTP/1.1 200 OK"] * PER_ADDRESS + [b"HTTP/1.1 429 Too Many Requests"]
        assert held(edge, "192.0.2.8", stack) == b"HTTP/1.1 200 OK"
    assert refused(edge, "max_connections_per_address") == 1
    until(lambda: edge.metric('comet_connections{transport="stream"}') == 0)


def test_one_address_brings_so_many_new_channels(edge: Service) -> None:
    """Names that nobody has used yet; a channel that is there is open to all."""
    answers = [exchange(edge.port, asking(f"/poll?id=new{n}&timeout=0", "192.0.2.9"))[0] for n in range(6)]
    assert [answer.status for answer in answers] == [200] * 5 + [429]
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 5
    assert exchange(edge.port, asking("/poll?id=new1&timeout=0", "192.0.2.9"))[0].status == 200
    assert refused(edge, "new_channels_per_minute") == 1


def test_one_address_subscribes_so_often(edge: Service) -> None:
    """Twenty at once, and not many more."""
    statuses = [exchange_quickly(edge, "192.0.2.10") for _ in range(40)]
    assert statuses[:20] == [b"200"] * 20
    assert b"429" in statuses
    assert exchange_quickly(edge, "192.0.2.11") == b"200"
    assert refused(edge, "subscriptions_per_second") == statuses.count(b"429")


def exchange_quickly(edge: Service, client: str) -> bytes:
    """Return the status of a poll."""
    with socket.create_connection((HOST, edge.port), 5) as connection:
        connection.sendall(asking("/poll?id=new1&timeout=0", client))
        return connection.recv(65536).split()[1]


def test_one_address_reads_so_much_history(cluster: Cluster) -> None:
    """A replay is sent whole and owed: the next position gets a 429, a newcomer from now on and others are served."""
    for number in range(5):
        cluster.publish("told", f"{number}" * 1000)
    replay = "/poll?id=told&timeout=0&since=0"
    first, second = [exchange(cluster.a.port, asking(replay, "192.0.2.13"))[0] for _ in range(2)]
    assert (first.status, len(first.json["messages"]), second.status) == (200, 5, 429)
    assert 1 <= int(second.headers["retry-after"]) <= 5
    assert exchange(cluster.a.port, asking("/poll?id=told&timeout=0", "192.0.2.13"))[0].status == 200
    assert exchange(cluster.a.port, asking(replay, "192.0.2.14"))[0].status == 200
    assert refused(cluster.a, "history_bytes_per_second") == 1


def test_behind_a_crowd_that_says_nothing_a_newcomer_is_answered_at_once(edge: Service) -> None:
    """S15: 600 silent connections on 100 places keep nobody out; told or served, it does not wait for them."""
    with ExitStack() as stack:
        for _ in range(CROWD):
            stack.enter_context(socket.create_connection((HOST, edge.port), 5))
        began = time.monotonic()
        answer, _ = exchange(edge.port, asking("/poll?id=room&timeout=0", "192.0.2.12"))
        assert answer.status in {200, 503}, "told, or served if the crowd came slowly"
        assert time.monotonic() - began <= 0.5
        time.sleep(1.2)  # a duration: those who say nothing for a second yield
        began = time.monotonic()
        with StreamClient(edge.port, "room"):
            assert time.monotonic() - began <= 0.5
