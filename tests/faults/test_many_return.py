"""Thousands that come back to one channel at once share what is sent; unread answers are bounded, whoever asks."""

import time
from collections.abc import Iterator

import pytest

from bench.clients.comeback import Comeback, running_comeback
from bench.system.memory import MIB
from tests.cluster.bystander import MOST_SECONDS, until_enough, watching
from tests.cluster.clients import Connection
from tests.cluster.processes import Cluster
from tests.cluster.running import running
from tests.cluster.waiting import until
from tests.faults.numbers import Record, note

pytestmark = pytest.mark.system

MARKER = "bench-"  # by which the clients know a message
MESSAGES = 10
SHORT, LONG = "short", "long"
SIZES = {SHORT: 20_000, LONG: 50_000}  # of each message
CLIENTS = {SHORT: 2000, LONG: 1000}
UNREAD = 200
BIG = 60_000
BIG_COUNT = 100
ALL_BUDGETS = 256 * MIB
IN_TIME = 5.0  # seconds
LIMITS = ("bytes", "seconds", "total")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return a cluster with the default limits for slow readers."""
    with running(Cluster(tmp_path_factory.mktemp("cluster"), edges="a")) as cluster:
        for name, size in SIZES.items():
            fill(cluster, name, MESSAGES, size)
        yield cluster


@pytest.fixture
def clients(cluster: Cluster) -> Iterator[Comeback]:
    """Return clients of the edge."""
    with running_comeback(cluster.a.port, seconds=60) as clients:
        yield clients


def fill(cluster: Cluster, channel: str, count: int, size: int) -> None:
    """Publish messages of a size."""
    with Connection(cluster.publisher.port) as backend:
        for _ in range(count):
            assert backend.post("/pub", {"id": channel, "content": MARKER.ljust(size, "x")}).status == 200


def cut(cluster: Cluster) -> float:
    """Return how many slow readers the edge has cut."""
    return sum(cluster.a.metric(f'comet_slow_readers_cut_total{{limit="{limit}"}}') for limit in LIMITS)


@pytest.mark.parametrize("channel", [SHORT, LONG])
@pytest.mark.parametrize("transport", ["stream", "sse", "poll", "jsonp", "ws"])
def test_all_have_all_of_it_within_5_s(
    cluster: Cluster, clients: Comeback, record_property: Record, transport: str, channel: str
) -> None:
    """2,000 for 200 KB each, 1,000 for 500 KB each: none is refused or cut, and the edge holds the bytes once."""
    edge, before = cluster.a, cut(cluster)
    until(lambda: edge.metric("comet_parked_bytes") == 0)
    if transport == "ws":
        clients.speak_websocket()
    clients.connect(CLIENTS[channel])
    edge.forget_peak()
    base = edge.memory
    with watching(edge) as bystander:
        query = f"id={channel}&since=0" + ("&callback=f" if transport == "jsonp" else "")
        clients.come_back(f"/{transport}?{query}")
        complete, seconds = clients.read(MESSAGES)
        grown = edge.peak_memory - base
        # About what it polls and joins in the 5 s that they have.
        until(lambda: min(len(bystander.polls), len(bystander.joins)) >= 300, MOST_SECONDS)
    note(record_property, seconds=seconds, grown_mib=grown / MIB)
    bystander.note(record_property)
    assert (complete, cut(cluster)) == (CLIENTS[channel], before)
    assert seconds <= IN_TIME
    assert grown <= 64 * MIB
    bystander.assert_undisturbed()


@pytest.fixture
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return a cluster that gives up on a slow reader after two seconds."""
    with running(Cluster(tmp_path_factory.mktemp("cluster"), edges="a", COMET_SLOW_SECONDS="2")) as cluster:
        yield cluster


@pytest.mark.parametrize("channels", [1, UNREAD])
def test_answers_that_nobody_reads_are_bounded(impatient: Cluster, record_property: Record, channels: int) -> None:
    """S14: 200 of 6 MB, of one channel or of as many, stay within the budgets, and the memory comes back."""
    edge, most = impatient.a, 0.0
    copy(impatient, channels)
    base = edge.memory
    edge.forget_peak()
    with running_comeback(edge.port, seconds=60) as clients, watching(edge) as bystander:
        for rounds in until_enough(bystander.polls, bystander.joins):
            clients.drop()
            clients.connect(UNREAD, room=4096)
            clients.come_back("/poll?since=0&id=big-" + ("#" if channels > 1 else "0"))
            while cut(impatient) + edge.metric('comet_requests_refused_total{code="503"}') < UNREAD * (rounds + 1):
                most = max(most, edge.metric("comet_parked_bytes"))
                time.sleep(0.1)  # a duration: between two looks
    peak = edge.peak_memory
    note(record_property, base_mib=base / MIB, peak_mib=peak / MIB, parked_mib=most / MIB)
    bystander.note(record_property)
    assert peak <= ALL_BUDGETS
    assert 0 < most <= 67_108_864
    bystander.assert_undisturbed()
    until(lambda: edge.memory <= base + 32 * MIB, 15)


def copy(cluster: Cluster, channels: int) -> None:
    """Fill a channel with 6 MB, and copy it to others."""
    with cluster.valkey.client() as redis:
        if not redis.exists("{comet:big-0}:log"):
            fill(cluster, "big-0", BIG_COUNT, BIG)
        for number in range(1, channels):
            for key in ("top", "log"):
                redis.copy("{comet:big-0}:" + key, f"{{comet:big-{number}}}:{key}", replace=True)
