"""Redis goes away and comes back: no client is thrown out, no process hides it, all recover by themselves."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from tests.cluster.clients import StreamClient, get
from tests.cluster.processes import STARTING, Cluster
from tests.cluster.waiting import until

RECOVERY = 3.0  # seconds from the port's opening to the first message
NOT_READY = 12.0  # a probe is asked for every 5 s, and a proof lasts 10 s


def test_subscribers_survive_a_restart_under_load(fragile_cluster: Cluster, channel: str) -> None:
    """Redis is killed and restarted while messages flow: the same connections receive again within 3 s."""
    cluster = fragile_cluster
    with (
        StreamClient(cluster.a.port, channel) as a,
        StreamClient(cluster.b.port, channel) as b,
        publishing(cluster, channel) as last,
    ):
        assert a.receive()
        assert b.receive()
        cluster.valkey.kill()
        cluster.valkey.start()
        back, missed = time.monotonic(), last[0]
        for subscriber in (a, b):
            while int(subscriber.receive()) <= missed:
                pass
        assert time.monotonic() - back < RECOVERY
    cluster.wait_ready()


def test_every_process_says_so_while_redis_is_away(fragile_cluster: Cluster, channel: str) -> None:
    """Without Redis the publisher answers 503 within a second, and no process is ready; then all recover."""
    cluster = fragile_cluster
    with StreamClient(cluster.a.port, channel) as subscriber:
        cluster.valkey.kill()
        began = time.monotonic()
        answer = cluster.publish(channel, "lost")
        took = time.monotonic() - began

        assert answer.status == 503
        assert int(answer.headers["retry-after"]) >= 1
        assert took < 1.0
        until(lambda: not any(service.ready for service in cluster.services), NOT_READY)
        assert [service.status("/readyz") for service in cluster.services] == [503] * 3
        assert [service.status("/healthz") for service in cluster.services] == [200] * 3

        cluster.valkey.start()
        cluster.wait_ready()
        cluster.publish_and_receive(subscriber, channel, "again")
        assert subscriber.receive() == "again"


def test_redis_absent_at_the_start(tmp_path: Path) -> None:
    """Edges and publisher start without Redis, are alive and not ready, and recover when it appears."""
    cluster = Cluster(tmp_path)
    try:
        cluster.start_services()
        until(lambda: all(service.status("/healthz") == 200 for service in cluster.services), STARTING)
        assert [service.status("/readyz") for service in cluster.services] == [503] * 3
        assert cluster.publish("room", "too early").status == 503

        cluster.valkey.start()
        cluster.wait_ready()
        with StreamClient(cluster.b.port, "room") as subscriber:
            assert cluster.publish("room", "hi").text == "ok\n"
            assert subscriber.receive() == "hi"
        assert [one.log.count("redis is down") for one in cluster.services] == [1, 1, 1]
    finally:
        cluster.stop()


def test_a_subscriber_without_redis_is_told_to_come_back(fragile_cluster: Cluster, channel: str) -> None:
    """A client that subscribes while Redis is away is not left hanging: it gets a 503 that says when to try again."""
    cluster = fragile_cluster
    cluster.valkey.kill()
    try:
        answer = get(cluster.a.port, "/poll", id=channel)

        assert answer.status == 503
        assert int(answer.headers["retry-after"]) >= 1
        assert answer.json["code"] == 503
    finally:
        cluster.valkey.start()
        cluster.wait_ready()


@contextmanager
def publishing(cluster: Cluster, channel: str) -> Iterator[list[int]]:
    """Publish growing numbers without a pause; gives a list with the last number tried."""
    last, over = [0], threading.Event()

    def publish() -> None:
        for number in count(1):
            if over.is_set():
                return
            last[0] = number
            if get(cluster.publisher.port, "/pub", id=channel, content=str(number)).status != 200:
                over.wait(0.01)

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        yield last
    finally:
        over.set()
        thread.join()
