"""A channel is `id`, `channel` or `cname` wherever it is named, on real processes; what is no name is told so."""

import json

import pytest
from websockets.sync.client import connect

from tests.cluster.clients import HOST, Connection, StreamClient, exchange, get
from tests.cluster.processes import Cluster

pytestmark = pytest.mark.system

PATIENCE = 8.0
every_name = pytest.mark.parametrize("name", ["id", "channel", "cname"])


@every_name
def test_a_message_goes_to_the_channel_of_that_name(cluster: Cluster, channel: str, name: str) -> None:
    """Published as a form, in a form's body and as JSON; subscribed to in a URL, an operation and a POST."""
    more, most = f"{channel}-more", f"{channel}-most"
    with connect(f"ws://{HOST}:{cluster.a.port}/ws?{name}={channel}", proxy=None, open_timeout=PATIENCE) as client:
        session = json.loads(client.recv(timeout=PATIENCE))["session"]
        client.send(json.dumps({"op": "sub", name: more, "ref": 1}))
        assert json.loads(client.recv(timeout=PATIENCE))["ref"] == 1
        with Connection(cluster.b.port) as other:
            assert other.post(f"/sub/{session}", {"op": "sub", name: most}).json["channels"] == [channel, more, most]
        assert json.loads(client.recv(timeout=PATIENCE))["id"] == most
        assert get(cluster.publisher.port, "/pub", **{name: channel, "content": "form"}).text == "ok\n"
        with Connection(cluster.publisher.port) as backend:
            assert backend.post("/pub", {name: more, "content": "json"}).status == 200
            assert backend.post("/pub", [{name: most, "content": "array"}]).status == 200
        got = [json.loads(client.recv(timeout=PATIENCE)) for _ in range(3)]
    assert [(one["id"], one["content"]) for one in got] == [(channel, "form"), (more, "json"), (most, "array")]


@pytest.mark.parametrize("path", ["/stream", "/sub"])
def test_a_url_may_mix_the_names(cluster: Cluster, channel: str, path: str) -> None:
    """Each names one more channel, in the order in which they stand."""
    with Connection(cluster.a.port) as client:
        client.ask(path, [("cname", channel), ("id", f"{channel}-b"), ("channel", f"{channel}-c")])
        lines = client.open()
        welcomes = [json.loads(lines.readline())["id"] for _ in range(3)]
    assert welcomes == [channel, f"{channel}-b", f"{channel}-c"]


def test_a_number_is_no_name(cluster: Cluster, channel: str) -> None:
    """And is not told to be missing."""
    with (
        StreamClient(cluster.a.port, channel) as held,
        Connection(cluster.a.port) as other,
        Connection(cluster.publisher.port) as backend,
    ):
        answer = other.post(f"/sub/{held.welcomes[0]['session']}", {"op": "sub", "id": 1})
        assert (answer.status, "the name of a channel is a string" in answer.text) == (400, True)
        answer = backend.post("/pub", {"id": 1, "content": "x"})
        assert (answer.status, "id: must be a string" in answer.text) == (400, True)


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("id[]=room", "id: write the name without brackets"),
        ("id%5B%5D=room&id%5B%5D=lobby", "id: write the name without brackets"),
        ("channel[]=room", "channel: write the name without brackets"),
        ("id=a&amp;id=b", "the URL was escaped for HTML"),
    ],
)
def test_what_a_template_or_a_library_has_changed_is_told_so(cluster: Cluster, query: str, sentence: str) -> None:
    """An edge would drop a channel in silence, or say that the name is missing."""
    for port, path in ((cluster.a.port, "/poll?timeout=0&"), (cluster.publisher.port, "/pub?content=hi&")):
        request = f"GET {path}{query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        answer, _ = exchange(port, request.encode())
        assert (answer.status, sentence in answer.text) == (400, True), answer
