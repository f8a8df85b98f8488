"""Subscribe tokens on real processes: who may hear what, on each transport and on either edge, and until when (I11)."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jwt
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.cluster.clients import HOST, Answer, Connection, StreamClient, exchange
from tests.cluster.processes import Cluster, Service
from tests.cluster.running import running
from tests.cluster.waiting import until

pytestmark = pytest.mark.system

SECRET = "a secret of thirty-two bytes or more"  # of these tests only
PAGE = "https://app.example"
SETTINGS = {
    "COMET_TOKEN_KEY": SECRET,
    "COMET_TOKEN_LEEWAY": "0",
    "COMET_TOKEN_COOKIE": "comet",
    "COMET_ALLOWED_ORIGINS": PAGE,
    "COMET_PUBLIC_CHANNELS": "news,lobby:*",
    "COMET_PRIVATE_CHANNELS": "user:{sub}",
}
HANDSHAKE = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
TRANSPORTS = ["stream", "sse", "poll", "jsonp", "iframe", "ws"]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return a cluster whose channels need tokens."""
    with running(Cluster(tmp_path_factory.mktemp("cluster"), **SETTINGS)) as cluster:
        yield cluster


def token(*channels: str, user: str = "bob", seconds: float = 60.0, key: str = SECRET) -> str:
    """Return a token as an application makes it."""
    return jwt.encode({"sub": user, "exp": time.time() + seconds, "channels": channels}, key, "HS256")


def request(transport: str, query: str, *headers: str) -> bytes:
    """Return a subscriber's request, of an allowed page."""
    more = "&callback=f" if transport == "jsonp" else ""
    own = HANDSHAKE if transport == "ws" else "Connection: close\r\n"
    lines = "".join(f"{header}\r\n" for header in headers)
    return f"GET /{transport}?{query}{more} HTTP/1.1\r\nHost: x\r\nOrigin: {PAGE}\r\n{own}{lines}\r\n".encode()


def refused(edge: Service, transport: str, query: str, *headers: str) -> Answer:
    """Ask for what is refused, and return the answer."""
    return exchange(edge.port, request(transport, query, *headers))[0]


def status(edge: Service, transport: str, query: str, *headers: str) -> int:
    """Return the status of a subscriber's answer, which may have no end."""
    with socket.create_connection((HOST, edge.port), 8) as raw:
        raw.sendall(request(transport, query, *headers))
        return int(raw.recv(12).split()[1])


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_each_transport_lets_in_who_has_a_token_for_the_channel(cluster: Cluster, transport: str) -> None:
    """In whichever way it comes, on either edge."""
    good, bad = token("room", "team:*"), token("room", key="another secret of thirty-two bytes")
    held = 101 if transport == "ws" else 200
    for edge in cluster.edges:
        for query, headers in (
            (f"id=room&token={good}&timeout=0", ()),
            ("id=room&id=team:blue&id=news&timeout=0", (f"Authorization: Bearer {good}",)),
            ("id=user:bob&timeout=0", (f"Authorization: bearer {good}",)),
            ("id=room&timeout=0", (f"Cookie: comet={good}", f"Referer: {PAGE}/", "Sec-Fetch-Site: cross-site")),
            ("id=lobby:1&timeout=0", ()),
        ):
            assert status(edge, transport, query, *headers) == held, query
        for query, code, sentence in (
            ("id=room", 401, "'room' needs a token"),
            ("id=news&id=room", 401, "'room' needs a token"),
            (f"id=room&token={bad}", 401, "signature"),
            (f"id=news&token={bad}", 401, "signature"),
            ("id=news&token=x", 401, "token"),
            (f"id=room&id=private-bob&token={good}", 403, "'private-bob'"),
            (f"id=user:alice&token={good}", 403, "'user:alice'"),
            (f"id=room&token={token('room', seconds=-1)}", 401, "time is over"),
            (f"id=room&token={good}&token={good}", 400, "token"),
        ):
            answer = refused(edge, transport, query)
            assert (answer.status, answer.json["code"]) == (code, code), query
            assert sentence in answer.json["content"]
            assert answer.headers["access-control-allow-origin"] == PAGE
            assert answer.headers.get("www-authenticate") == ("Bearer" if code == 401 else None)


def test_a_position_is_checked_as_a_url_is(cluster: Cluster) -> None:
    """At resume and at each poll, by the token that comes with it."""
    with Connection(cluster.a.port) as client:
        client.ask("/poll", {"id": "room", "timeout": "0", "token": token("room")})
        seq = client.answer().json["seq"]
        client.ask("/poll", {"since": f"room={seq}", "timeout": "0", "token": token("room")})
        assert client.answer().status == 200
        client.ask("/poll", {"since": f"room={seq}&private-bob=", "timeout": "0", "token": token("room")})
        answer = client.answer()
        assert (answer.status, "'private-bob'" in answer.json["content"]) == (403, True)


def test_no_secret_is_in_a_log(cluster: Cluster) -> None:
    """What was refused is counted by its reason, and a line says why; neither the key nor a token is in it."""
    bad = token("room", key="another secret of thirty-two bytes")
    before = cluster.a.metric('comet_token_refused_total{reason="signature"}')
    for _ in range(20):
        assert refused(cluster.a, "sse", f"id=room&token={bad}").status == 401
    assert cluster.a.metric('comet_token_refused_total{reason="signature"}') == before + 20
    logs = "".join(edge.whole_log for edge in cluster.edges)
    assert "a subscriber's token was refused" in logs
    assert SECRET not in logs
    assert bad[-20:] not in logs


# Held connections.


@contextmanager
def open_websocket(edge: Service, query: str = "") -> Iterator[ClientConnection]:
    """Hold a WebSocket that was welcomed while the block runs."""
    with connect(f"ws://{HOST}:{edge.port}/ws?{query}", proxy=None, open_timeout=8) as one:
        assert received(one)["type"] == "welcome"
        yield one


def received(one: ClientConnection) -> dict[str, Any]:
    """Return the next object."""
    return json.loads(one.recv(8))  # type: ignore[no-any-return]


def asked(one: ClientConnection, **operation: str) -> dict[str, Any]:
    """Send an operation, and return what answers it."""
    one.send(json.dumps(operation | {"ref": "r"}))
    while (item := received(one)).get("ref") != "r":
        pass
    return item


def post(edge: Service, session: str, body: str, *headers: str) -> Answer:
    """Change a session's channels."""
    lines = "".join(f"{header}\r\n" for header in headers)
    head = f"POST /sub/{session} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n{lines}\r\n"
    return exchange(edge.port, (head + body).encode(), "POST")[0]


def test_a_later_channel_needs_a_token_over_the_websocket(cluster: Cluster) -> None:
    """`private-bob` cannot be had behind another channel, nor without one."""
    with open_websocket(cluster.a, f"id=room&token={token('room', 'cart', user='eve')}") as one:
        error = asked(one, op="sub", id="private-bob")
        assert (error["type"], error["code"], error["op"], error["id"]) == ("error", 403, "sub", "private-bob")
        assert asked(one, op="sub", id="user:bob")["code"] == 403
        assert {asked(one, op="sub", id=name)["type"] for name in ("cart", "news", "user:eve")} == {"welcome"}
    with open_websocket(cluster.b) as one:
        assert asked(one, op="sub", id="private-bob")["code"] == 401
        assert asked(one, op="sub", id="lobby:1")["type"] == "welcome"


@pytest.mark.parametrize("asking", ["a", "b"])
def test_a_later_channel_needs_a_token_by_a_post_to_either_edge(cluster: Cluster, asking: str) -> None:
    """The session's token decides, or one that comes with the request and is the same user's."""
    edge = cluster.edge(asking)
    with StreamClient(cluster.a.port, "room", token=token("room", "cart")) as stream:
        session = stream.welcomes[0]["session"]
        answer = post(edge, session, '[{"op":"sub","id":"private-bob","ref":1},{"op":"sub","id":"cart","ref":2}]')
        assert (answer.status, answer.json["channels"]) == (200, ["room", "cart"])
        items = {item["ref"]: item for item in (stream.next_object(), stream.next_object())}
        assert (items[1]["type"], items[1]["code"], items[1]["id"]) == ("error", 403, "private-bob")
        assert items[2]["type"] == "welcome"
        for wrong, code in ((token("*", user="eve"), 403), (token("room"), 403), ("x.y.z", 401)):
            answer = post(edge, session, '{"op":"sub","id":"private-bob"}', f"Authorization: Bearer {wrong}")
            assert (answer.status, answer.json["code"]) == (code, code)
        wide = f"Authorization: Bearer {token('room', 'cart', 'private-*')}"
        answer = post(edge, session, '{"op":"sub","id":"private-bob"}', wide)
        assert (answer.status, answer.json["channels"]) == (200, ["room", "cart", "private-bob"])
        assert post(edge, session, '{"op":"sub","id":"private-eve"}').json["channels"][3:] == ["private-eve"]


@pytest.mark.parametrize("asking", ["a", "b"])
def test_a_polls_channels_need_a_token_by_a_post_to_either_edge(cluster: Cluster, asking: str) -> None:
    """Its answer has the error in the place of a welcome."""
    session = f"a-poll-that-asked-{asking}"
    with Connection(cluster.a.port) as client:
        client.ask("/poll", {"id": "room", "session": session, "token": token("room")})
        body = '{"op":"sub","id":"private-bob","ref":1}'
        answer = until(lambda: ok(post(cluster.edge(asking), session, body)))
        assert answer.json["channels"] == ["room"]
        (error,) = client.answer().json["messages"]
        assert (error["type"], error["code"], error["id"], error["ref"]) == ("error", 403, "private-bob", 1)


def ok(answer: Answer) -> Answer | None:
    """Return an answer if it is a good one."""
    return answer if answer.status == 200 else None


# Time passes.


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_connection_ends_within_five_seconds_after_its_token(cluster: Cluster, transport: str) -> None:
    """With an error object in the words of the transport, and what was published before it."""
    ends = time.time() + 1.2
    with socket.create_connection((HOST, cluster.a.port), 10) as raw:
        raw.sendall(request(transport, f"id=room&token={token('room', seconds=1.2)}&timeout=60"))
        data = b""
        while b'"code":401' not in data:
            more = raw.recv(65_536)
            assert more, data
            data += more
        assert 0 <= time.time() - ends <= 5
        if transport not in {"poll", "jsonp"}:
            while more := raw.recv(65_536):
                data += more
    assert data.startswith(b"HTTP/1.1 101" if transport == "ws" else b"HTTP/1.1 200")
    assert b"its time is over" in data
    if transport not in {"poll", "jsonp"}:
        assert cluster.a.metric(f'comet_connections_closed_total{{reason="token",transport="{transport}"}}') >= 1


def test_a_websocket_closes_with_4401(cluster: Cluster) -> None:
    """A page may read that."""
    with open_websocket(cluster.a, f"id=room&token={token('room', seconds=1)}") as one:
        assert received(one)["code"] == 401
        with pytest.raises(ConnectionClosed) as closed:
            one.recv(8)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4401


def test_a_fresh_token_keeps_a_connection(cluster: Cluster) -> None:
    """Over the WebSocket, or by a POST to either edge; it is acknowledged, and nothing is interrupted."""
    ends = time.time() + 1.5
    with (
        open_websocket(cluster.a, f"id=room&token={token('room', seconds=1.5)}") as one,
        StreamClient(cluster.a.port, "room", token=token("room", seconds=1.5)) as here,
        StreamClient(cluster.a.port, "room", token=token("room", seconds=1.5)) as there,
    ):
        assert asked(one, op="token", token=token("other"))["code"] == 403
        assert asked(one, op="token", token=token("room")) == {"type": "token", "ref": "r"}
        for stream, edge in ((here, cluster.a), (there, cluster.b)):
            header = f"Authorization: Bearer {token('room')}"
            assert post(edge, stream.welcomes[0]["session"], "[]", header).json["channels"] == ["room"]
        until(lambda: time.time() > ends + 2.5)
        assert cluster.publish("room", "hi").text == "ok\n"
        assert [received(one)["content"], here.receive(), there.receive()] == ["hi"] * 3
