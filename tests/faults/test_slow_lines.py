"""Clients that take all that their lines give are not slow, however large what they get; who takes nothing is."""

import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import pytest

from tests.cluster.clients import Connection
from tests.cluster.processes import Cluster
from tests.cluster.running import running
from tests.cluster.waiting import until
from tests.faults.lines import MBIT, on_a_line

pytestmark = pytest.mark.system

KEPT = "x" * 30_000  # 100 of them are kept: 3 MB
LIMITS = ("bytes", "seconds", "total")
FULL_SPEED = 8000 * MBIT
HELD = ("stream", "sse", "ws")

Message = dict[str, object]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return a cluster with the default limits for slow readers; /pub takes 8 MiB in one body."""
    settings = {"COMET_MAX_MESSAGE_BYTES": "2097152"}
    with running(Cluster(tmp_path_factory.mktemp("cluster"), edges="a", **settings)) as cluster:
        yield cluster


def cut(cluster: Cluster) -> float:
    """Return how many readers the edge has let go because they were too slow."""
    return sum(cluster.a.metric(f'comet_slow_readers_cut_total{{limit="{limit}"}}') for limit in LIMITS)


def publish(cluster: Cluster, messages: list[Message]) -> None:
    """Publish an array."""
    with Connection(cluster.publisher.port) as backend:
        answer = backend.post("/pub", messages)
    assert answer.status == 200, answer


def arrived(data: bytes) -> list[int]:
    """Return the numbers of the messages that came, in their order."""
    return [int(number) for number in re.findall(rb"<(\d+)>", data)]


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

    def tick(number: int) -> Message:
        return {"id": channels[number % len(channels)], "content": f"tick {number}" + "x" * 500}

    with on_a_line(cluster.a.port, target, 1 * MBIT) as line, publishing(cluster, tick, 0.1):
        line.read_until(b"event: welcome")
        line.read_for(12)
        publish(cluster, [{"id": channels[0], "content": "the last one"}])
        data = line.read_until(b"the last one").decode()
    assert (data.count("event: welcome"), data.count("event: reset")) == (128, 0)
    assert data.count('"content":"tick') >= 80
    assert cut(cluster) == before


@contextmanager
def publishing(cluster: Cluster, message: Callable[[int], Message], pause: float) -> Iterator[None]:
    """Publish one message after the other, with a pause before each."""
    stop = threading.Event()

    def publish_all() -> None:
        for number in range(1000):
            if stop.wait(pause):
                return
            publish(cluster, [message(number)])

    with ThreadPoolExecutor(1) as pool:
        ticking = pool.submit(publish_all)
        try:
            yield
        finally:
            stop.set()
            ticking.result()


@pytest.mark.parametrize("transport", HELD)
def test_one_publish_of_8_mib_resets_nobody_at_10_mbit_a_second(cluster: Cluster, transport: str) -> None:
    """It takes 7 seconds, and is ten times as many messages as are kept: a cut would be a reset."""
    channel, before = f"burst-{transport}", cut(cluster)
    with on_a_line(cluster.a.port, f"/{transport}?id={channel}", 10 * MBIT) as line:
        line.read_until(b"hello world!")
        publish(cluster, [{"id": channel, "content": f"<{number}>" + "x" * 8380} for number in range(1000)])
        data = line.read_until(b"<999>")
    assert arrived(data) == list(range(1000))
    assert cut(cluster) == before


@pytest.mark.parametrize("transport", HELD)
def test_large_messages_in_one_pipeline_cut_no_reader_at_full_speed(cluster: Cluster, transport: str) -> None:
    """20 of 60 KB by PUBLISH, five times over: more at once than COMET_SLOW_BYTES, for a reader that takes it all."""
    channel, before = f"pipeline-{transport}", cut(cluster)
    with on_a_line(cluster.a.port, f"/{transport}?id={channel}", FULL_SPEED) as line, cluster.valkey.client() as redis:
        line.read_until(b"hello world!")
        for turn in range(5):
            pipeline = redis.pipeline(transaction=False)
            for number in range(20 * turn, 20 * turn + 20):
                pipeline.publish(f"comet:{channel}", f"<{number}>" + "x" * 60_000)
            pipeline.execute()
        data = line.read_until(b"<99>")
    assert arrived(data) == list(range(100))
    assert cut(cluster) == before


def test_history_and_live_messages_share_a_line_of_5_mbit_a_second(cluster: Cluster) -> None:
    """1 MB that is kept takes 1.6 s; two messages of 10 KB a second come meanwhile, and it stays connected."""
    publish(cluster, [{"id": "both", "content": f"<{number}>" + "x" * 10_000} for number in range(100)])
    before = cut(cluster)

    def live(number: int) -> Message:
        return {"id": "both", "content": f"<{100 + number}>" + "y" * 10_000}

    with on_a_line(cluster.a.port, "/sse?id=both&since=0", 5 * MBIT) as line, publishing(cluster, live, 0.5):
        data = line.read_until(b"<105>")
    assert arrived(data)[:106] == list(range(106))
    assert data.count(b"event: reset") == 0
    assert cut(cluster) == before


def test_an_edge_that_was_held_up_cuts_none_of_its_readers(cluster: Cluster) -> None:
    """1,000 messages of 1 KB while it stands still: they come in one burst, each once, and nobody gets a reset."""
    before = cut(cluster)
    with ExitStack() as stack, ThreadPoolExecutor() as pool:
        lines = [stack.enter_context(on_a_line(cluster.a.port, f"/{one}?id=held-up", FULL_SPEED)) for one in HELD]
        for line in lines:
            line.read_until(b"hello world!")
        cluster.a.pause()
        stack.callback(cluster.a.resume)
        publish(cluster, [{"id": "held-up", "content": f"<{number}>" + "x" * 1000} for number in range(1000)])
        time.sleep(2.5)  # a duration: as a machine that swaps, or is moved to another host
        cluster.a.resume()
        received = list(pool.map(lambda line: line.read_until(b"<999>"), lines))
    assert [arrived(data) for data in received] == [list(range(1000))] * len(HELD)
    assert not any(b'"type":"reset"' in data for data in received)
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
