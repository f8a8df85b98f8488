"""An EventSource that was connected to another server at this address comes back with that one's Last-Event-ID."""

import json

import pytest

from tests.cluster.clients import RefusedError, SseClient, StreamClient
from tests.cluster.processes import Cluster

FOREIGN_IDS = ["-1", "42", "undefined", "room=nowhere", "1,2,3", "9" * 19 + "-1"]


@pytest.mark.parametrize("last_event_id", FOREIGN_IDS)
def test_it_is_welcomed_and_reset(cluster: Cluster, channel: str, last_event_id: str) -> None:
    """The reset says which header was wrong, and live messages follow."""
    cluster.publish(channel, "before")
    with SseClient(cluster.a.port, channel, path="/sse", since=last_event_id) as client:
        reset = client.next_event()
        cluster.publish(channel, "after")
        message = client.next_event()
    told = json.loads(reset["data"])
    assert (reset["event"], told["type"], told["id"]) == ("reset", "reset", channel)
    assert told["content"].startswith("Last-Event-ID: ")
    assert (message["data"], int(told["seq"].split("-")[0])) == ("after", 1)


def test_the_parameter_is_refused(cluster: Cluster, channel: str) -> None:
    """A program wrote it, and can be told."""
    with pytest.raises(RefusedError, match=r"400.*since: '-1' is not a position"):
        StreamClient(cluster.a.port, channel, path="/sse", since="-1").__enter__()
