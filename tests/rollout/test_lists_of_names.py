"""Lists of names, which each edge has its own of, beside the commit before, whose edges share equal ones."""

import json

import pytest

from tests.cluster.clients import SseClient
from tests.rollout.conftest import MixedCluster
from tests.rollout.test_long_cursors import MANY, cursor_after_changes

pytestmark = pytest.mark.system  # with its clusters it takes many seconds

BEFORE = "0484aee"  # the last commit whose edges share their lists


@pytest.mark.parametrize("edges", ["ab", "ba", "aba", "bab"])
def test_a_long_cursor_goes_from_one_version_to_the_other(mixed: MixedCluster, channel: str, edges: str) -> None:
    """An EventSource comes back to all its channels, and misses nothing; and once more to the first edge."""
    cursor = cursor_after_changes(mixed, edges[0], channel, MANY)
    assert cursor.startswith("~")
    for edge in edges[1:]:
        mixed.publish(channel, f"missed by {edge}")
        with SseClient(mixed.edge(edge).port, channel, since=cursor) as again:
            events = [again.next_event() for _ in range(MANY + 1)]
        assert [event["event"] for event in events[:MANY]] == ["welcome"] * MANY
        assert json.loads(events[-1]["data"])["content"] == f"missed by {edge}"
        cursor = events[-1]["id"]
