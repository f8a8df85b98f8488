"""Cursors that are too long to name their channels, beside the commit before, which does not know their form."""

import json

import pytest

from tests.cluster.clients import Connection, SseClient, get
from tests.rollout.conftest import MixedCluster

pytestmark = pytest.mark.system  # with its clusters it takes many seconds

BEFORE = "bf95bac"  # the last commit whose cursors name their channels however long they become
FEW, MANY = 20, 60


def cursor_after_changes(mixed: MixedCluster, edge: str, channel: str, count: int) -> str:
    """Return the last id of an EventSource that has added channels with names of 60 bytes, by the other edge."""
    names = [f"{channel}-{number}-".ljust(60, "n") for number in range(count)]
    other = {"a": "b", "b": "a"}[edge]
    with SseClient(mixed.edge(edge).port, channel) as client:
        session = json.loads(client.welcome["data"])["session"]
        with Connection(mixed.edge(other).port) as connection:
            answer = connection.post(f"/sub/{session}", [{"op": "sub", "id": name} for name in names])
        assert (answer.status, len(answer.json["channels"])) == (200, 1 + count)
        mixed.publish(channel, "before")
        cursor = ""
        while True:
            event = client.next_event()
            cursor = event.get("id", cursor)
            if '"before"' in event["data"]:
                return cursor


@pytest.mark.parametrize(("first", "second"), [("a", "b"), ("b", "a")])
def test_a_cursor_that_is_short_is_the_same_in_both_versions(
    mixed: MixedCluster, channel: str, first: str, second: str
) -> None:
    """An EventSource comes back to all its channels, and misses nothing."""
    cursor = cursor_after_changes(mixed, first, channel, FEW)
    assert cursor.startswith(f"{channel}=1-")
    mixed.publish(channel, "missed")
    with SseClient(mixed.edge(second).port, channel, since=cursor) as again:
        events = [again.next_event() for _ in range(FEW + 1)]
    assert [event["event"] for event in events[:FEW]] == ["welcome"] * FEW
    assert json.loads(events[FEW]["data"])["content"] == "missed"


def test_a_long_cursor_of_the_version_before_stays_legal(mixed: MixedCluster, channel: str) -> None:
    """It names its channels, and is taken back; the next one is short."""
    cursor = cursor_after_changes(mixed, "b", channel, MANY)
    assert len(cursor) > 4096
    mixed.publish(channel, "missed")
    with SseClient(mixed.a.port, channel, since=cursor) as again:
        events = [again.next_event() for _ in range(MANY + 1)]
    assert json.loads(events[MANY]["data"])["content"] == "missed"
    assert events[MANY]["id"].startswith("~")
    assert len(events[MANY]["id"]) < 4096


def test_the_version_before_answers_the_new_form_with_a_reset_or_an_error(mixed: MixedCluster, channel: str) -> None:
    """Nothing is lost silently: an EventSource is told so on the channels of its URL, a poll is refused."""
    cursor = cursor_after_changes(mixed, "a", channel, MANY)
    assert cursor.startswith("~")
    with SseClient(mixed.b.port, channel, since=cursor) as again:
        reset = json.loads(again.next_event()["data"])
    assert (reset["type"], reset["id"]) == ("reset", channel)
    answer = get(mixed.b.port, "/poll", id=channel, since=cursor)
    assert (answer.status, "is not a position" in answer.text) == (400, True)
