"""A session in a header or in a body: any edge changes that connection's channels, and no log has the session."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.clients import Answer, Connection, StreamClient, exchange, get
from tests.cluster.processes import Cluster, Service
from tests.cluster.running import running

TOKEN = "a-token-that-nobody-may-read"
KEY = "a-key-that-nobody-may-read"
POLL = "a-poll-that-nobody-may-read"


@pytest.fixture(scope="module")
def keyed_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return a cluster with a publish key."""
    with running(Cluster(tmp_path_factory.mktemp("cluster"), COMET_PUBLISH_KEYS=KEY)) as cluster:
        yield cluster


def by_header(edge: Service, session: str, ops: list[dict[str, str]]) -> Answer:
    """Change a session's channels with a header."""
    with Connection(edge.port) as connection:
        return connection.post("/sub", ops, **{"Comet-Session": session})


def by_body(edge: Service, session: str, ops: list[dict[str, str]]) -> Answer:
    """Change a session's channels with a body."""
    with Connection(edge.port) as connection:
        return connection.post("/sub", {"session": session, "ops": ops})


@pytest.mark.parametrize("edge", ["a", "b"])
@pytest.mark.parametrize("way", [by_header, by_body])
def test_a_session_need_not_stand_in_the_path(cluster: Cluster, channel: str, way: object, edge: str) -> None:
    """The edge that holds it changes its channels, and so does any other."""
    assert callable(way)
    more = f"{channel}-more"
    with StreamClient(cluster.a.port, channel) as subscriber:
        session = subscriber.welcomes[0]["session"]
        answer = way(cluster.edge(edge), session, [{"op": "sub", "id": more}])
        assert (answer.status, answer.json["channels"]) == (200, [channel, more])
        assert subscriber.next_object()["id"] == more
        cluster.publish(more, "hi")
        assert subscriber.receive() == "hi"


def test_a_poll_may_be_named_so_too(cluster: Cluster, channel: str) -> None:
    """On any edge; the poll is answered with its new channel."""
    with Connection(cluster.a.port) as held:
        held.ask("/poll", {"id": channel, "session": POLL})
        answer = by_header(cluster.b, POLL, [{"op": "sub", "id": f"{channel}-more"}])
        while answer.status == 404:  # it is not held yet
            answer = by_header(cluster.b, POLL, [{"op": "sub", "id": f"{channel}-more"}])
        assert (answer.status, answer.json["channels"]) == (200, [channel, f"{channel}-more"])
        assert held.answer().json["messages"][0]["id"] == f"{channel}-more"


def test_without_a_session_the_ways_are_named(cluster: Cluster) -> None:
    """400; and two sessions that differ are 400, too."""
    with Connection(cluster.a.port) as connection:
        none = connection.post("/sub", [{"op": "ping"}])
        two = connection.post("/sub/a.other", [{"op": "ping"}], **{"Comet-Session": "a.session"})
    assert (none.status, two.status) == (400, 400)
    assert all(way in none.json["content"] for way in ("Comet-Session", "/sub/SESSION"))


def test_no_secret_is_in_a_log_a_metric_an_overview_or_a_refusal(keyed_cluster: Cluster, channel: str) -> None:
    """Sessions, tokens and keys, in good requests and in bad ones: whoever reads any of these learns none of them."""
    cluster = keyed_cluster
    with StreamClient(cluster.a.port, channel, token=TOKEN) as subscriber:
        session = subscriber.welcomes[0]["session"]
        secrets = (session, session.split(".")[1], TOKEN, KEY, POLL)
        refused = list(_refusals(cluster, channel, session))
        assert {answer.status for answer in refused} <= {400, 401, 404, 405, 413, 415}
        seen = [answer.text for answer in refused]
        seen += [get(one.admin_port, path).text for one in cluster.services for path in ("/metrics", "/readyz")]
        with Connection(cluster.publisher.port) as connection:
            for path in ("/stats", "/info", "/admin"):
                connection.ask(path, {"id": channel}, Authorization=f"Bearer {KEY}")
                seen.append(connection.answer().text)
    seen += [one.whole_log for one in cluster.services]
    seen += [_command_line(one) for one in cluster.services]
    assert [secret for secret in secrets if any(secret in text for text in seen)] == []


def _refusals(cluster: Cluster, channel: str, session: str) -> Iterator[Answer]:
    """Make requests with secrets in them that cannot be served."""
    edge, publisher = cluster.a, cluster.publisher
    for one in (session, POLL):
        yield by_header(edge, one, [{"op": "shout"}])
        yield by_body(edge, one, [{"op": "sub", "id": "a b"}])
        for port in (edge.port, publisher.port, edge.admin_port):
            yield get(port, f"/sub/{one}")
            yield get(port, f"/elsewhere/sub/{one}")
        with Connection(publisher.port) as connection:
            yield connection.post(f"/sub/{one}", [{"op": "ping"}])
        yield exchange(edge.port, _head("POST", f"/sub/{one}", "Content-Length: 2", "Content-Encoding: br"), "POST")[0]
        yield exchange(edge.port, _head("DELETE", f"/sub/{one}"))[0]
        yield exchange(edge.port, _head("POST", "/sub", f"Comet-Session: {one}", "Comet-Session: x"))[0]
        yield exchange(edge.port, _head("POST", "/sub", f"Comet-Session : {one}"))[0]
    yield get(edge.port, "/sub", token=TOKEN)
    yield get(edge.port, "/elsewhere", id=channel, token=TOKEN)
    yield get(edge.port, "/sub", id=channel, since="soon", token=TOKEN)
    yield exchange(edge.port, _head("GET", f"/sub?id={channel}&token={TOKEN}", f"Cookie: {TOKEN}", "X"))[0]
    for path, key in (("/pub", KEY), ("/pub", f"{KEY} x"), ("/elsewhere", KEY)):
        with Connection(publisher.port) as connection:
            connection.ask(path, {"id": "a b", "content": "x"}, Authorization=f"Bearer {key}")
            yield connection.answer()


def _head(method: str, target: str, *headers: str) -> bytes:
    return "\r\n".join([f"{method} {target} HTTP/1.1", "Host: x", *headers, "", ""]).encode()


def _command_line(service: Service) -> str:
    """Return what `ps` shows of a process; Linux only."""
    assert service._process is not None
    return Path(f"/proc/{service._process.pid}/cmdline").read_text()
