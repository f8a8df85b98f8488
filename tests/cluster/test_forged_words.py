"""Whoever may write to Redis cannot make edges and publishers lose messages or fail: what cannot be is refused."""

import json
from collections.abc import Iterator

import pytest

from tests.cluster.clients import PollClient, StreamClient, get
from tests.cluster.processes import Cluster
from tests.cluster.running import running
from tests.cluster.test_not_redis import lines_of_errors
from tests.cluster.waiting import until

pytestmark = pytest.mark.system  # with its clusters it takes many seconds

MALFORMED = 'comet_messages_dropped_total{reason="malformed"}'
NOW = 1_795_000_000_000


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return a cluster whose Redis other programs write to."""
    with running(Cluster(tmp_path_factory.mktemp("cluster"), COMET_LINGER="0.5")) as cluster:
        yield cluster
        assert [lines_of_errors(one.whole_log) for one in cluster.services] == [[], [], []]


@pytest.mark.parametrize("epoch", [9 * 10**12, 10**15, 2**53, 10**19, NOW + 10**10])
def test_plain_messages_survive_a_forged_epoch(cluster: Cluster, channel: str, epoch: int) -> None:
    """Plain messages get positions in the epochs after it, too, and nobody who comes back misses one."""
    with StreamClient(cluster.a.port, channel) as a, StreamClient(cluster.b.port, channel) as b:
        cluster.valkey.publish(channel, b"\x01J1 %d" % epoch)
        expected = publish_some(cluster, channel, "first")
        assert [a.receive() for _ in range(6)] == [b.receive() for _ in range(6)] == expected
    for again in ("second", "third"):
        until(lambda: cluster.valkey.publish(channel, "to nobody") == 0)  # both edges have left the channel
        with StreamClient(cluster.b.port, channel) as b:
            position = b.welcomes[0]["seq"]
            expected = publish_some(cluster, channel, again)
            assert [b.receive() for _ in range(6)] == expected
        expected += publish_some(cluster, channel, f"{again} while nobody is there")
        with StreamClient(cluster.a.port, channel, since=position) as late:
            assert [late.receive() for _ in range(12)] == expected


def publish_some(cluster: Cluster, channel: str, what: str) -> list[str]:
    """Publish six plain messages; return their contents."""
    contents = [f"{what} {number}" for number in range(6)]
    for content in contents:
        cluster.valkey.publish(channel, content)
    return contents


def test_a_forged_frame_is_counted_and_told_once(cluster: Cluster, channel: str) -> None:
    """A flood of them is one line of the log."""
    with StreamClient(cluster.a.port, channel) as subscriber:
        before = cluster.a.metric(MALFORMED)
        for _ in range(100):
            cluster.valkey.publish(channel, b"\x01J1 1000000000000000")
        cluster.valkey.publish(channel, "still here")
        assert subscriber.receive() == "still here"
        assert cluster.a.metric(MALFORMED) == before + 100
    assert cluster.a.whole_log.count("a message in redis is a forged frame; it is dropped") == 1


@pytest.mark.parametrize("field", ["b", "u", "sealed"])
def test_an_epoch_that_another_program_wrote_is_replaced(cluster: Cluster, channel: str, field: str) -> None:
    """The next edge that joins begins from the clock."""
    with cluster.valkey.client() as redis:
        with StreamClient(cluster.a.port, channel):
            redis.hset(f"{{comet:{channel}}}:top", field, str(10**15))
        with StreamClient(cluster.b.port, channel) as subscriber:
            for number in range(5):
                cluster.valkey.publish(channel, str(number))
            assert [subscriber.receive() for _ in range(5)] == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize(
    "change",
    [
        {"busiest": 5},
        {"busiest": [5]},
        {"busiest": [[5, 5]]},
        {"rates": None},
        {"connections": {"stream": "many"}},
        {"id": "other"},
        dict.fromkeys(("host", "version", "uptime", "ready", "connections", "channels", "rates", "busiest")),
    ],
    ids=str,
)
def test_an_odd_announcement_is_left_out_and_named(cluster: Cluster, change: dict[str, object]) -> None:
    """The others are shown, the odd one is counted, and the log names it."""
    series = "comet_announcements_unreadable_total"
    good = until(lambda: edges_of(cluster) if len(edges_of(cluster)["edges"]) == 2 else None)["edges"]
    before = cluster.publisher.metric(series)
    with cluster.valkey.client() as redis:
        redis.set("comet:!edge:forged", json.dumps({**good[0], "id": "forged"} | change), ex=10)
        redis.sadd("comet:!edges", "forged")
        answer = edges_of(cluster)
        redis.delete("comet:!edge:forged")
        redis.srem("comet:!edges", "forged")
    assert {edge["id"] for edge in answer["edges"]} == {edge["id"] for edge in good}
    assert answer["unreadable"] == ["forged"]
    assert cluster.publisher.metric(series) == before + 1
    assert "an announcement in redis is of no edge; it is left out" in cluster.publisher.whole_log
    assert "unreadable" not in edges_of(cluster)


def test_a_forged_receipt_breaks_no_answer(cluster: Cluster, channel: str) -> None:
    """A count that cannot be one is ignored, as any answer that is none."""
    with PollClient(cluster.a.port, channel), cluster.valkey.client() as redis:
        inbox = next(name for name in redis.pubsub_channels() if "!inbox:" in name)
        for number in range(50):
            redis.publish(inbox, f"{number} {10**19}")
        answer = get(cluster.publisher.port, "/pub", id=channel, content="hi")
    assert answer.status in {200, 404}


def edges_of(cluster: Cluster) -> dict[str, list[dict[str, object]]]:
    """Return what the dashboard is told."""
    return get(cluster.publisher.port, "/admin/edges").json
