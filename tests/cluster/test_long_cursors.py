"""Cursors of 128 channels whose names have 255 bytes: short, any edge takes them back, and control bytes stay few."""

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import urlencode

import pytest

from tests.cluster.clients import HOST, Connection, SseClient, get
from tests.cluster.processes import Cluster, Service
from tests.cluster.running import running
from tests.cluster.waiting import until
from tests.edge.http_client import head

pytestmark = pytest.mark.system  # with its clusters it takes many seconds

MAX_CURSOR = 4096
AMPLIFICATION = 30
CPU = 0.1  # seconds; it takes less than a hundredth
OWN = "a-session-of-my-own"


@pytest.fixture(scope="module")
def own_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return a cluster whose edges may be ended."""
    with running(Cluster(tmp_path_factory.mktemp("cluster"), edges="abc", COMET_NAMES_BYTES="200000")) as cluster:
        yield cluster


def longest(channel: str) -> list[str]:
    """Return 127 names of 255 bytes."""
    return [f"{channel}-{number:03d}".ljust(255, "n") for number in range(127)]


def add(edge: Service, session: str, names: list[str]) -> None:
    """Add channels to a session, as many in a request as a body has room for."""
    for start in range(0, len(names), 50):
        with Connection(edge.port) as other:
            answer = other.post(f"/sub/{session}", [{"op": "sub", "id": name} for name in names[start : start + 50]])
        assert answer.status == 200, answer.text


def last_id(client: SseClient, content: str) -> str:
    """Read up to the event with a content; return the last id."""
    seen = ""
    while True:
        event = client.next_event()
        seen = event.get("id", seen)
        assert len(seen) <= MAX_CURSOR
        if content in event["data"]:
            return seen


def test_an_event_source_comes_back_to_128_channels_although_its_edge_is_gone(
    own_cluster: Cluster, channel: str
) -> None:
    """It sends its last id of at most 4 KB to another edge, and misses nothing on any of its channels."""
    cluster, names = own_cluster, longest(channel)
    with SseClient(cluster.edge("c").port, channel, path="/sse") as client:
        add(cluster.a, json.loads(client.welcome["data"])["session"], names)
        cluster.publish(names[-1], "before")
        cursor = last_id(client, '"before"')
        cluster.edge("c").kill()
    for name in (channel, names[0], names[77]):
        cluster.publish(name, "missed")
    with SseClient(cluster.b.port, channel, path="/sse", since=cursor) as again:
        events = [again.welcome, *(again.next_event() for _ in range(130))]
        cluster.publish(names[5], "live")
        assert len(last_id(again, '"live"')) <= MAX_CURSOR
    told = [json.loads(event["data"]) for event in events]
    assert sorted(one["id"] for one in told[:128]) == sorted([channel, *names])
    assert [(one["type"], one["id"]) for one in told[128:]] == [
        ("data", channel),
        ("data", names[0]),
        ("data", names[77]),
    ]
    cluster.edge("c").start()
    until(lambda: cluster.edge("c").ready)


def test_a_poller_goes_on_at_another_edge(own_cluster: Cluster, channel: str) -> None:
    """Its `seq` fits into a URL."""
    names = longest(channel)
    with Connection(own_cluster.a.port) as poller:
        poller.ask("/poll", {"id": channel, "session": OWN})
        until(lambda: own_cluster.a.metric('comet_connections{transport="poll"}') == 1)
        add(own_cluster.b, OWN, names[:50])
        seq = poller.answer().json["seq"]
    assert len(seq) <= MAX_CURSOR
    own_cluster.publish(names[3], "missed")
    answer = get(own_cluster.b.port, "/poll", id=channel, since=seq)
    assert [one["content"] for one in answer.json["messages"]] == ["missed"]


def session_of(client: SseClient) -> str:
    """Return the session of a held connection."""
    return str(json.loads(client.welcome["data"])["session"])


def test_the_names_live_in_redis_as_long_as_they_are_used_and_bounded(own_cluster: Cluster, channel: str) -> None:
    """One key for equal lists, which ends; over the budget of an edge a change gets 429, until others have left."""
    cluster, names = own_cluster, longest(channel)
    with cluster.valkey.client() as redis, ExitStack() as held:
        before = set(redis.keys("comet:!names:*"))
        one, two = (held.enter_context(SseClient(cluster.b.port, channel)) for _ in range(2))
        for client in (one, two):
            add(cluster.b, session_of(client), names[:50])
        (key,) = set(redis.keys("comet:!names:*")) - before
        assert redis.get(key).split("\n")[:-1] == [channel, *names[:50]]
        assert 440 < int(redis.ttl(key)) <= 450
        statuses = []
        with ExitStack() as crowd, Connection(cluster.b.port) as other:
            for number in range(20):
                session = session_of(crowd.enter_context(SseClient(cluster.b.port, f"{channel}-{number}")))
                answer = other.post(f"/sub/{session}", [{"op": "sub", "id": name} for name in names[:50]])
                statuses.append(answer.status)
        assert statuses == sorted(statuses)
        assert {statuses[0], statuses[-1]} == {200, 429}
        add(cluster.b, session_of(two), names[50:60])
        assert sum(int(redis.strlen(key)) for key in redis.keys("comet:!names:*")) < 3 * 200_000
    assert cluster.b.metric('comet_refused_total{limit="names_bytes"}') > 0


def test_one_client_that_flips_costs_no_other_its_names(own_cluster: Cluster, channel: str) -> None:
    """Of 100 lists of one session Redis keeps the last four; others join, and both are taken back by another edge."""
    cluster, names = own_cluster, longest(channel)
    with cluster.valkey.client() as redis, SseClient(cluster.a.port, channel) as honest:
        add(cluster.a, session_of(honest), names[:50])
        before = set(redis.keys("comet:!names:*"))
        with SseClient(cluster.a.port, channel) as flipper:
            add(cluster.a, session_of(flipper), names[50:100])
            with Connection(cluster.a.port) as other:
                for number in range(100):
                    flip = [
                        {"op": "unsub", "id": f"{channel}-{number - 1}"},
                        {"op": "sub", "id": f"{channel}-{number}"},
                    ]
                    assert other.post(f"/sub/{session_of(flipper)}", flip).status == 200
            until(lambda: len(set(redis.keys("comet:!names:*")) - before) == 4)
            add(cluster.a, session_of(honest), names[100:])
            cluster.publish(channel, "now")
            cursors = [last_id(client, '"now"') for client in (honest, flipper)]
    for cursor, count in zip(cursors, (77, 51), strict=True):  # beside the first welcome
        with SseClient(cluster.b.port, channel, since=cursor) as again:
            told = [json.loads(again.next_event()["data"])["type"] for _ in range(count)]
            assert told == ["welcome"] * count


def test_one_client_that_polls_with_ever_new_names_costs_no_other_its_names(own_cluster: Cluster, channel: str) -> None:
    """Lists that nobody holds make room: for a newcomer's, and for those of who is held."""
    edge = own_cluster.edge("c")
    with SseClient(edge.port, channel) as honest, Connection(edge.port) as stranger:
        add(edge, session_of(honest), longest(channel)[:50])
        for number in range(40):
            since = "&".join(f"{name}=" for name in (*NAMES[number:], *NAMES[:number]))
            stranger.ask("/poll", {"timeout": "0"}, **{"Last-Event-ID": since})
            assert stranger.answer().status == 200
        add(edge, session_of(honest), longest(channel)[50:])
        own_cluster.publish(channel, "now")
        cursor = last_id(honest, '"now"')
    with SseClient(own_cluster.a.port, channel, since=cursor) as again:
        assert [json.loads(again.next_event()["data"])["type"] for _ in range(127)] == ["welcome"] * 127


def test_an_event_source_whose_names_are_gone_gets_a_reset(own_cluster: Cluster, channel: str) -> None:
    """On the channels of its URL; a poller is told by 410."""
    with SseClient(own_cluster.a.port, channel) as client:
        add(own_cluster.a, json.loads(client.welcome["data"])["session"], longest(channel)[:50])
        own_cluster.publish(channel, "hi")
        cursor = last_id(client, '"hi"')
    digest = cursor[1:25]
    with own_cluster.valkey.client() as redis:
        assert redis.delete(f"comet:!names:{digest}") == 1
    with SseClient(own_cluster.edge("c").port, channel, since=cursor) as again:
        reset = json.loads(again.next_event()["data"])
        assert (reset["type"], reset["id"], "no longer known" in reset["content"]) == ("reset", channel, True)
        own_cluster.publish(channel, "live")
        assert again.receive() == "live"
    assert get(own_cluster.edge("c").port, "/poll", id=channel, since=cursor).status == 410


def test_a_full_redis_refuses_new_names_and_goes_on(own_cluster: Cluster, channel: str) -> None:
    """As it refuses a new channel: 503 with a sentence, and the connection keeps what it has."""
    cluster = own_cluster
    with cluster.valkey.client() as redis, SseClient(cluster.a.port, channel) as client:
        session = json.loads(client.welcome["data"])["session"]
        redis.config_set("maxmemory", "1mb")
        try:
            with Connection(cluster.a.port) as other:
                ops = [{"op": "sub", "id": name} for name in longest(channel)[:50]]
                answer = other.post(f"/sub/{session}", ops)
        finally:
            redis.config_set("maxmemory", "0")
        assert (answer.status, "no memory left" in answer.text) == (503, True)
        cluster.publish(channel, "hi")
        assert client.receive() == "hi"


NAMES = [f"{number:03d}".ljust(90, "s") for number in range(128)]
SHORT = [f"s{number}" for number in range(128)]


def returning(position: str) -> bytes:
    """Return a request with 128 names and one position for each."""
    return head("/sse?id=x", "Last-Event-ID: " + "&".join(f"{name}={position}" for name in NAMES))


@pytest.mark.parametrize(
    "request_head",
    [head("/sse?" + urlencode([("id", name) for name in SHORT])), returning(""), returning("9-1792000000000000")],
    ids=["short names", "long names", "positions that cannot be proved"],
)
def test_control_bytes_are_few(own_cluster: Cluster, request_head: bytes) -> None:
    """What a stranger gets without any message is at most 30 times the request, with one cursor in it."""
    edge = own_cluster.edge("c")
    before = edge.cpu_seconds
    received = answered(edge, request_head)
    assert edge.cpu_seconds - before < CPU
    assert received.count(b"event: welcome") == 128
    assert received.count(b"\nid: ") == 1
    assert len(received) <= AMPLIFICATION * len(request_head)


def test_256_pings_bring_256_pongs_and_no_cursor(own_cluster: Cluster) -> None:
    """With 128 long names: 18.8 MB before."""
    edge = own_cluster.edge("c")
    with SseClient(edge.port, "x", since="&".join(f"{name}=" for name in NAMES)) as client:
        for _ in range(127):
            client.next_event()
        session, before = json.loads(client.welcome["data"])["session"], edge.cpu_seconds
        with Connection(edge.port) as other:
            assert other.post(f"/sub/{session}", [{"op": "ping"}] * 256).status == 200
        events = [client.next_event() for _ in range(256)]
    assert edge.cpu_seconds - before < CPU
    assert all(event == {"event": "pong", "data": '{"type":"pong"}'} for event in events)


def answered(edge: Service, request_head: bytes) -> bytes:
    """Send a request; return all that comes until nothing more comes for half a second."""
    with socket.create_connection((HOST, edge.port), 8) as raw:
        raw.sendall(request_head)
        received = b""
        raw.settimeout(3)
        try:
            while data := raw.recv(1 << 20):
                received += data
                raw.settimeout(0.5)
        except TimeoutError:
            pass
    return received
