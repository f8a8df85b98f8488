"""Sessions that do not exist: asking for them is bounded, and costs nobody else anything."""

import json
import socket
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from threading import Event

import pytest

from tests.cluster.bystander import until_enough, watching
from tests.cluster.clients import HOST, Answer, Connection, StreamClient, exchange, get
from tests.cluster.processes import Cluster, Service
from tests.cluster.running import running
from tests.cluster.waiting import until
from tests.faults.numbers import Record

pytestmark = pytest.mark.system  # it takes half a minute, and more on a machine with other work

ASKS = 5
LIMITED = 'comet_refused_total{limit="session_asks"}'
OWN = "a-poll-that-is-held-on-b"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return a cluster whose edges ask for five unknown sessions at a time."""
    with running(Cluster(tmp_path_factory.mktemp("cluster"), COMET_SESSION_ASKS=str(ASKS))) as cluster:
        yield cluster


def request(session: str, channel: str) -> bytes:
    """Return a request that subscribes a session to one more channel."""
    body = json.dumps({"op": "sub", "id": channel}).encode()
    return f"POST /sub/{session} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def change(edge: Service, session: str, channel: str) -> Answer:
    """Subscribe a session to one more channel, through an edge."""
    return exchange(edge.port, request(session, channel), "POST")[0]


def unknown(number: int) -> str:
    """Return a session that no poll has."""
    return f"nobody-has-this-session-{number}"


def test_no_more_sessions_are_asked_for_than_may_be(cluster: Cluster, channel: str) -> None:
    """While an edge is silent these wait for it; the next one gets 429 at once, and what is known is served."""
    before = cluster.a.metric(LIMITED)
    with ExitStack() as ending, StreamClient(cluster.a.port, channel) as here, Connection(cluster.a.port) as held:
        held.ask("/poll", {"id": channel, "session": OWN})
        cluster.b.pause()
        ending.callback(cluster.b.resume)
        asking = [ending.enter_context(socket.create_connection((HOST, cluster.a.port), 8)) for _ in range(ASKS)]
        for number, client in enumerate(asking):
            client.sendall(request(unknown(number), channel))
        refused = until(lambda: (answer := change(cluster.a, unknown(9), channel)).status == 429 and answer)
        assert 1 <= int(refused.headers["retry-after"]) <= 5
        assert cluster.a.metric(LIMITED) > before
        assert change(cluster.a, str(here.welcomes[0]["session"]), "more").json["channels"] == [channel, "more"]
        assert change(cluster.a, OWN, "more").json["channels"] == [channel, "more"]
        cluster.b.resume()
        assert [client.recv(12) for client in asking] == [b"HTTP/1.1 404"] * ASKS
    assert change(cluster.a, unknown(9), channel).status == 404


def test_a_flood_of_unknown_sessions_costs_others_nothing(
    cluster: Cluster, channel: str, record_property: Record
) -> None:
    """The flood gets 404 and 429; a held connection's channels change through any edge, and no edge is silent."""
    over = Event()
    before = cluster.a.metric(LIMITED)
    with (
        watching(cluster.a) as bystander,
        StreamClient(cluster.b.port, channel) as known,
        ThreadPoolExecutor(30) as strangers,
    ):
        floods = [strangers.submit(_flood, cluster.a, number, over) for number in range(30)]
        try:
            session = str(known.welcomes[0]["session"])
            for number in range(20):
                assert change(cluster.a, session, f"{channel}-{number}").status == 200
                told = get(cluster.publisher.port, "/info", id=channel).json
                assert (told["subscribers"], told["silent"], told.get("errors")) == (1, 0, None)
                assert cluster.publish(channel, "x").text == "ok\n"
            for _ in until_enough(bystander.polls, bystander.joins):
                over.wait(0.1)  # a duration: between two looks
        finally:
            over.set()
        statuses = sum((flood.result() for flood in floods), Counter[int]())
    bystander.note(record_property)
    bystander.assert_undisturbed()
    assert set(statuses) == {404, 429}
    assert cluster.a.metric(LIMITED) - before == statuses[429]


def _flood(edge: Service, number: int, over: Event) -> Counter[int]:
    """Change the channels of sessions that do not exist until it is over; return how often each status came."""
    statuses: Counter[int] = Counter()
    with Connection(edge.port) as client:
        while not over.is_set():
            statuses[client.post(f"/sub/{unknown(number)}", {"op": "ping"}).status] += 1
    return statuses
