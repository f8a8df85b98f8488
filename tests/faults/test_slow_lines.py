"""Clients that take all that their lines give are not slow, however large what they get; who takes nothing is."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from tests.cluster.clients import Connection
from tests.cluster.processes import Cluster
from tests.cluster.running import running
from tests.cluster.waiting import until
from tests.faults.lines import MBIT, on_a_line

pytestmark = pytest.mark.system

KEPT = "x" * 30_000  # 100 of them are kept: 3 MB
LIMITS = ("bytes", "seconds", "total")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return a cluster with the default limits for slow readers; /pub takes 8 MiB in one body."""
    settings = {"COMET_MAX_MESSAGE_BYTES": "2097152"}
    with running(Cluster(tmp_path_factory.mktemp("cluster"), edges="a", **settings)) as cluster:
        yield cluster


def cut(cluster: Cluster) -> float:
    """Return how many readers the edge has let go because they were too slow."""
    return sum(cluster.a.metric(f'comet_slow_readers_cut_total{{limit="{limit}"}}') for limit in LIMITS)


def publish(cluster: Cluster, messages: list[dict[str, object]]) -> None:
    """Publish an array."""
    with Connection(cluster.publisher.port) as backend:
        answer = backend.post("/pub", messages)
    assert answer.status == 200, answer


def test_an_answer_of_3_mb_arrives_at_2_mbit_a_second(cluster: Cluster) -> None:
    """By long-poll and by JSONP, kept alive or not: it takes 12 seconds, two more than a reader may be stuck."""
    publish(cluster, [{"id": "doc", "content": KEPT} for _ in range(100)])
    before = cut(cluster)

    def read(target: str) -> int:
        with on_a_line(cluster.a.port, target, 2 * MBIT) as line:
            return line.read_until(b"]}").count(KEPT.encode())

    targets = ("/poll?id=doc&since=0", "/jsonp?id=doc&since=0&callback=f", "/poll?id=doc&since=0&timeout=0")
    with ThreadPoolExecutor() as pool:
        assert list(pool.map(read, targets)) == [100] * 3
    assert cut(cluster) == before


def test_a_page_of_128_channels_gets_in_at_1_mbit_a_second_and_stays(cluster: Cluster) -> None:
    """What it gets at first is more than COMET_SLOW_BYTES; messages come meanwhile, each with 2.6 KB of positions."""
    channels = [f"page-of-many-channels-whose-names-are-rather-long-{number:03}" for number in range(128)]
    target = "/sse?history=1&" + "&".join(f"id={channel}" for channel in channels)
    publish(cluster, [{"id": channel, "content": "kept"} for channel in channels])
    before = cut(cluster)
    with on_a_line(cluster.a.port, target, 1 * MBIT) as line, publishing(cluster, channels):
        line.read_until(b"event: welcome")
        line.read_for(12)
        publish(cluster, [{"id": channels[0], "content": "the last one"}])
        data = line.read_until(b"the last one").decode()
    assert (data.count("event: welcome"), data.count("event: reset")) == (128, 0)
    assert data.count('"content":"tick') >= 80
    assert cut(cluster) == before


@contextmanager
def publishing(cluster: Cluster, channels: list[str]) -> Iterator[None]:
    """Publish ten small messages a second, each to another channel."""
    stop = threading.Event()

    def tick() -> None:
        for number in range(1000):
            if stop.wait(0.1):
                return
            publish(cluster, [{"id": channels[number % len(channels)], "content": f"tick {number}" + "x" * 500}])

    with ThreadPoolExecutor(1) as pool:
        ticking = pool.submit(tick)
        try:
            yield
        finally:
            stop.set()
            ticking.result()


@pytest.mark.parametrize("transport", ["stream", "sse"])
def test_one_publish_of_8_mib_resets_nobody_at_10_mbit_a_second(cluster: Cluster, transport: str) -> None:
    """It takes 7 seconds, and is ten times as many messages as are kept: a cut would be a reset."""
    channel, before = f"burst-{transport}", cut(cluster)
    with on_a_line(cluster.a.port, f"/{transport}?id={channel}", 10 * MBIT) as line:
        line.read_until(b"hello world!")
        publish(cluster, [{"id": channel, "content": f"<{number}>" + "x" * 8380} for number in range(1000)])
        data = line.read_until(b"<999>").decode()
    at = [data.find(f"<{number}>") for number in range(1000)]
    assert at == sorted(at)
    assert at[0] > 0
    assert cut(cluster) == before


def test_who_takes_nothing_is_cut_and_counted_a_poller_too(cluster: Cluster) -> None:
    """After ten seconds without progress; and who takes less than 1 KiB a second."""
    publish(cluster, [{"id": "big", "content": KEPT} for _ in range(100)])
    before, began = cut(cluster), time.monotonic()
    with (
        on_a_line(cluster.a.port, "/poll?id=big&since=0", 0),
        on_a_line(cluster.a.port, "/stream?id=big&since=0", 0),
        on_a_line(cluster.a.port, "/poll?id=big&since=0", 100) as nibbling,
        ThreadPoolExecutor(1) as pool,
    ):
        pool.submit(nibbling.read_for, 12)
        until(lambda: cut(cluster) == before + 3, 14)
    assert time.monotonic() - began >= 9
