"""Keys that live for as long as a linger, beside the commit before, whose edges keep them for a day."""

import time

import pytest

from tests.cluster.clients import StreamClient, get, poll
from tests.cluster.processes import Service
from tests.cluster.waiting import until
from tests.rollout.conftest import MixedCluster

pytestmark = pytest.mark.system  # with its clusters it takes many seconds

BEFORE = "c51acad"  # the last commit whose edges leave the key of a channel without messages behind
LINGER = 1
GONE = LINGER + 3  # seconds
SETTINGS = {"COMET_LINGER": str(LINGER), "COMET_AUDIT": "1"}


def publish(publisher: Service, channel: str, content: str) -> None:
    """Publish with history, whoever listens."""
    assert get(publisher.port, "/pub", id=channel, content=content).status in {200, 404}


def top_of(channel: str) -> str:
    """Return the key of a channel's position."""
    return f"{{comet:{channel}}}:top"


def test_the_older_edge_keeps_what_its_subscribers_stand_on(mixed: MixedCluster, channel: str) -> None:
    """This version lets go of a channel that the older one has: its subscriber gets what follows, without a reset."""
    with StreamClient(mixed.b.port, channel) as there:
        poll(mixed.a.port, channel, timeout="0")
        time.sleep(GONE)  # a duration: the linger and what follows it
        publish(mixed.publisher, channel, "one")
        publish(mixed.older_publisher, channel, "two")
        assert [there.next_object()["content"] for _ in range(2)] == ["one", "two"]


def test_what_the_older_publisher_stores_first_is_kept_for_long(mixed: MixedCluster, channel: str) -> None:
    """Its script knows nothing of short lives, and all the same the position lives for a day from the first message."""
    with mixed.valkey.client() as redis:
        genesis = poll(mixed.a.port, channel, timeout="0")["seq"]
        assert 0 < int(redis.ttl(top_of(channel))) <= 300
        publish(mixed.older_publisher, channel, "first")
        assert int(redis.ttl(top_of(channel))) > 86_000
        time.sleep(GONE)  # a duration, as above
        assert int(redis.ttl(top_of(channel))) > 86_000
    for edge in (mixed.a, mixed.b):
        messages = poll(edge.port, channel, since=genesis, timeout="0")["messages"]
        assert [item.get("content") for item in messages] == ["first"]


def test_what_the_older_edge_left_is_taken_along(mixed: MixedCluster, channel: str) -> None:
    """A name that both had leaves nothing behind if this version is the last to have it."""
    poll(mixed.b.port, channel, timeout="0")
    with mixed.valkey.client() as redis:
        time.sleep(GONE)  # a duration, as above
        assert redis.exists(top_of(channel))
        poll(mixed.a.port, channel, timeout="0")
        until(lambda: not redis.exists(top_of(channel)), GONE)


def test_a_poller_between_the_versions_misses_nothing(mixed: MixedCluster, channel: str) -> None:
    """Pauses around the linger, two publishers, other names in between: each message comes once, in order."""
    publish(mixed.older_publisher, channel, "0")
    seq, got, sent = "0", [], ["0"]
    for turn in range(1, 13):
        answer = poll(mixed.edge("ab"[turn % 2]).port, channel, since=seq, timeout="0")
        seq = answer["seq"]
        got += [item.get("content", item["type"]) for item in answer["messages"]]
        poll(mixed.a.port, f"{channel}-{turn}", timeout="0")
        publish((mixed.publisher, mixed.older_publisher)[turn % 2], channel, str(turn))
        sent.append(str(turn))
        time.sleep((0.0, LINGER, LINGER + 0.5)[turn % 3])  # a duration: the poller is away
    answer = poll(mixed.a.port, channel, since=seq, timeout="0")
    got += [item.get("content", item["type"]) for item in answer["messages"]]
    assert got == sent
