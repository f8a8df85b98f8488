"""Two versions on one Redis, as in every roll-out: scripts, frames, cursors, keys and questions fit both ways."""

from contextlib import ExitStack
from pathlib import Path

import pytest
from redis import Redis

from tests.cluster.clients import Connection, StreamClient, get, poll
from tests.cluster.waiting import until
from tests.rollout.conftest import MixedCluster

pytestmark = pytest.mark.system  # with its clusters it takes many seconds

BEFORE = "62c66bd8"  # the commit before the floors; scripts, frames, cursors and keys are its own
BOTH = [("a", "b"), ("b", "a")]


def publish_by_both(mixed: MixedCluster, channel: str, count: int) -> list[str]:
    """Publish by the two publishers in turn; return the contents."""
    contents = [f"message {number}" for number in range(count)]
    for number, content in enumerate(contents):
        publisher = mixed.older_publisher if number % 2 else mixed.publisher
        assert get(publisher.port, "/pub", id=channel, content=content).text == "ok\n"
    return contents


def test_messages_of_both_publishers_reach_both_edges_in_order(mixed: MixedCluster, channel: str) -> None:
    """One log, whichever version numbers: each subscriber gets all of it, once."""
    with StreamClient(mixed.a.port, channel) as here, StreamClient(mixed.b.port, channel) as there:
        contents = publish_by_both(mixed, channel, 40)
        assert [here.receive() for _ in contents] == contents
        assert [there.receive() for _ in contents] == contents


def test_a_poller_goes_on_at_the_other_version(mixed: MixedCluster, channel: str) -> None:
    """A cursor of one version is a cursor of the other, on every request."""
    seq = poll(mixed.a.port, channel, timeout="0")["seq"]
    contents, received = publish_by_both(mixed, channel, 3), []
    for turn in range(6):
        batch = poll(mixed.edge("ab"[turn % 2]).port, channel, since=seq, timeout="0")
        seq = batch["seq"]
        received += [item["content"] for item in batch["messages"]]
        contents += publish_by_both(mixed, channel, 2)
    received += [item["content"] for item in poll(mixed.b.port, channel, since=seq, timeout="0")["messages"]]
    assert received == contents


@pytest.mark.parametrize(("first", "second"), BOTH)
def test_a_cursor_that_names_its_channels(mixed: MixedCluster, channel: str, first: str, second: str) -> None:
    """The positions of several channels, with their names, are read by the other version without a reset."""
    seq = poll(mixed.edge(first).port, channel, timeout="0")["seq"]
    other = f"{channel}-other"
    named = f"{channel}={seq}&{other}="
    contents = publish_by_both(mixed, channel, 2)
    batch = get(mixed.edge(first).port, "/poll", since=named, timeout="0").json
    assert [item["content"] for item in batch["messages"]] == contents
    more = publish_by_both(mixed, channel, 1)
    batch = get(mixed.edge(second).port, "/poll", since=batch["seq"], timeout="0").json
    assert [(item["type"], item["content"]) for item in batch["messages"]] == [("data", more[0])]


def test_plain_messages_are_adopted_once(mixed: MixedCluster, channel: str) -> None:
    """Both versions count bare messages alike: each gets one position, on both edges in one order."""
    contents = [f"plain {number}" for number in range(60)]
    with (
        StreamClient(mixed.b.port, channel) as there,
        StreamClient(mixed.a.port, channel) as here,
        Redis.from_url(mixed.valkey.url) as redis,
    ):
        for content in contents:
            redis.publish(f"comet:{channel}", content)
        seen = [[client.next_object() for _ in contents] for client in (here, there)]
    assert [item["content"] for item in seen[0]] == contents
    assert [item["seq"] for item in seen[0]] == [item["seq"] for item in seen[1]]


@pytest.mark.parametrize(("holding", "asked"), BOTH)
def test_a_session_is_changed_through_the_other_version(
    mixed: MixedCluster, channel: str, holding: str, asked: str
) -> None:
    """An edge asks the edge that holds the session, whatever its version."""
    with StreamClient(mixed.edge(holding).port, channel) as held, Connection(mixed.edge(asked).port) as other:
        session = held.welcomes[0]["session"]
        answer = other.post(f"/sub/{session}", [{"op": "sub", "id": f"{channel}-more"}])
        assert (answer.status, answer.json["channels"]) == (200, [channel, f"{channel}-more"])
        assert held.next_object()["type"] == "welcome"
        publish_by_both(mixed, f"{channel}-more", 1)
        assert held.receive() == "message 0"


def test_receipts_and_questions_count_both_versions(mixed: MixedCluster, channel: str) -> None:
    """Either publisher hears the edges of both versions."""
    publishers = (mixed.publisher, mixed.older_publisher)
    with ExitStack() as stack:
        for edge in (mixed.a, mixed.b, mixed.b):
            stack.enter_context(StreamClient(edge.port, channel))
        for publisher in publishers:
            with Connection(publisher.port) as connection:
                answer = connection.post("/pub", {"id": channel, "content": "hi", "receipt": True})
            assert (answer.json["edges"], answer.json["subscribers"]) == (2, 3)
            assert get(publisher.port, "/info", id=channel).json["subscribers"] == 3
            until(lambda port=publisher.port: len(get(port, "/info").json["edges"]) == 2)  # type: ignore[misc]


def test_the_function_library_serves_both(mixed: MixedCluster, channel: str) -> None:
    """Whichever publisher installed the library last, `FCALL comet_publish` publishes with history."""
    with Redis.from_url(mixed.valkey.url) as redis, StreamClient(mixed.a.port, channel) as held:
        seq, edges = redis.execute_command("FCALL", "comet_publish", 1, f"comet:{channel}", "by a function")
        assert (held.next_object()["seq"].encode(), edges) == (seq, 1)


def test_the_older_processes_run_the_older_code(mixed: MixedCluster, older: Path) -> None:
    """Else this file would prove nothing."""
    assert (older / "edge" / "seats.py").is_file()
    assert [service.folder == older for service in (mixed.a, mixed.b, mixed.publisher, mixed.older_publisher)] == [
        False,
        True,
        False,
        True,
    ]
