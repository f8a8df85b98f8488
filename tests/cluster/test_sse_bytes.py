"""Server-Sent Events of an edge process, byte by byte, for clients that do not read them as a browser does."""

import re
from collections.abc import Iterator
from http.client import HTTPResponse

import pytest

from tests.cluster.clients import Connection
from tests.cluster.processes import Cluster
from tests.cluster.running import running

pytestmark = pytest.mark.system

ALL = re.compile(
    rb"retry: \d+\nid: \d+-\d+\nevent: welcome\ndata: \{[^\n]*\}\n\n"
    rb"(:\n)+"
    rb"id: \d+-\d+\ndata: h\xc3\xa9 \xe6\xbc\xa2\n\n"
    rb"(:\n)+"
)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return a cluster whose one edge sends heartbeats every second."""
    with running(Cluster(tmp_path_factory.mktemp("cluster"), edges="a", COMET_HEARTBEAT="1")) as cluster:
        yield cluster


def until_ends(response: HTTPResponse, body: bytes, end: bytes) -> bytes:
    """Read on, line by line, until the body ends so."""
    while not body.endswith(end):
        line = response.readline()
        assert line, f"the response has ended: {body!r}"
        body += line
    return body


def test_an_event_stream_is_one_for_careless_clients_too(cluster: Cluster) -> None:
    """The header says UTF-8, `retry:` is a line of the welcome, and a heartbeat is a comment that ends no block.

    So a client that makes an event of each block, whatever it holds (httpx-sse), gets as many as a browser.
    """
    with Connection(cluster.a.port) as client:
        client.ask("/sse", {"id": "room"})
        response = client.open()
        assert response.getheader("Content-Type") == "text/event-stream; charset=utf-8"
        body = until_ends(response, b"", b"\n\n:\n")
        cluster.publish("room", "h\u00e9 \u6f22")
        body = until_ends(response, body, b"\xa2\n\n")
        body = until_ends(response, body, b"\n:\n")
    assert ALL.fullmatch(body), body
    assert body.count(b"\n\n") == 2, "two blocks: the welcome and the message"
