"""A change of channels as a request: its body, its session, its answer."""

import json

import pytest

from edge.cluster.forwarding import NOT_HELD
from edge.protocol.limits import USUAL_LIMITS
from tests.edge.change_requests import held, post, posted, sub, unsub
from tests.edge.edge_without_redis import EdgeWithoutRedis, edge_without_redis
from tests.edge.http_client import head


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"", "JSON"),
        (b"{", "JSON"),
        (b"\xff", "JSON"),
        (b"[]", "operations"),
        (b"7", "object"),
        (b'{"op":"shout"}', "op"),
        (b'[{"op":"ping"},{"op":"sub","id":"a b"}]', "id"),
        (b'{"op":"sub","id":"b","since":"soon"}', "since"),
        (b"[" + b"{}," * 256 + b"{}]", "256"),
    ],
)
async def test_a_bad_change_is_refused_as_a_whole(edge: EdgeWithoutRedis, body: bytes, word: str) -> None:
    """400 with a sentence; nothing is done, and the connection is good for another request."""
    _, session = await held(edge, "/sub?id=a", "stream")
    client = await edge.connect()
    answer = await client.ask(posted(session, body))
    assert (answer.status, word in answer.json["content"]) == (400, True)
    assert (await client.ask(posted(session, sub("b")))).json["channels"] == ["a", "b"]


@pytest.mark.parametrize("session", ["edge.AAAA", "ffffffff.AAAA", "a-session-that-is-not-held", "x", "%00", "a/b"])
async def test_a_session_that_is_not_held_is_404(edge: EdgeWithoutRedis, session: str) -> None:
    """Ours, another edge's, or a client's own."""
    answer = await post(edge, session, sub("b"))
    assert (answer.status, answer.json["content"]) == (404, NOT_HELD)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (head("/sub/x", method="POST"), 411),
        (head("/sub/x", "Transfer-Encoding: chunked", method="POST") + b"0\r\n\r\n", 411),
        (head("/sub/x", f"Content-Length: {USUAL_LIMITS.max_body_bytes + 1}", method="POST"), 413),
        (head("/sub/x", "Content-Length: 1", method="PUT") + b"x", 413),
    ],
)
async def test_a_body_needs_a_length_that_is_allowed(edge: EdgeWithoutRedis, data: bytes, status: int) -> None:
    """What cannot be read to its end ends the connection."""
    client = await edge.connect()
    answer = await client.ask(data)
    assert (answer.status, answer.headers["connection"]) == (status, "close")


async def test_a_body_may_come_in_pieces(edge: EdgeWithoutRedis) -> None:
    """A client that waits for leave to send it gets that; the deadline holds for all of it."""
    _, session = await held(edge, "/sub?id=a", "stream")
    client = await edge.connect()
    whole = posted(session, sub("b"), "Expect: 100-continue")
    at = whole.index(b"\r\n\r\n") + 4
    await client.send(whole[:at])
    assert await client.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    for byte in whole[at:]:
        await client.send(bytes([byte]))
        await edge.turns(2)
    assert (await client.answer()).status == 200
    await client.send(whole[:-1])
    await edge.until(lambda: any(seat.recv_buffer for seat in edge.seats))
    edge.pass_time(10.5)
    assert (await client.answer()).status == 408


async def test_a_body_that_drips_wins_no_time(edge: EdgeWithoutRedis) -> None:
    """S2: head and body share one deadline, so a body has a lowest rate."""
    client = await edge.connect()
    await client.send(head("/sub/x", "Content-Length: 100", method="POST"))
    for _ in range(8):
        edge.pass_time(1)
        await client.send(b"[")
        await edge.turns()
    assert edge.counters.refused_total[408] == 0
    edge.pass_time(1)
    assert (await client.answer()).status == 408
    assert await client.rest() == b""


async def test_what_follows_a_change_waits_for_its_answer(edge: EdgeWithoutRedis) -> None:
    """Requests sent ahead are answered in order."""
    _, session = await held(edge, "/sub?id=a", "stream")
    client = await edge.connect()
    await client.send(posted(session, sub("b")) + posted(session, unsub("b")) + head("/nowhere"))
    assert [(await client.answer()).json["channels"] for _ in range(2)] == [["a", "b"], ["a"]]
    assert (await client.answer()).status == 404


async def test_a_page_may_change_channels_only_from_an_allowed_origin() -> None:
    """CORS as for subscribing."""
    async with edge_without_redis(allowed_origins=("https://a.example",)) as edge:
        client = await edge.connect()
        foreign = await client.ask(posted("x", sub("b"), "Origin: https://b.example"))
        ours = await client.ask(posted("x", sub("b"), "Origin: https://a.example"))
        assert (foreign.status, ours.status) == (403, 404)
        assert ours.headers["access-control-allow-origin"] == "https://a.example"


async def test_a_session_may_stand_in_a_header_or_in_the_body(edge: EdgeWithoutRedis) -> None:
    """Both change the channels of that connection, as the path does."""
    _, session = await held(edge, "/sub?id=a", "stream")
    client = await edge.connect()
    by_header = json.dumps(sub("b")).encode()
    lines = (f"Comet-Session: {session}", f"Content-Length: {len(by_header)}")
    answer = await client.ask(head("/sub", *lines, method="POST") + by_header)
    assert (answer.status, answer.json["channels"]) == (200, ["a", "b"])
    by_body = json.dumps({"session": session, "ops": [unsub("a"), sub("c")]}).encode()
    answer = await client.ask(head("/sub", f"Content-Length: {len(by_body)}", method="POST") + by_body)
    assert (answer.status, answer.json["channels"]) == (200, ["b", "c"])


async def test_a_change_without_a_session_is_refused(edge: EdgeWithoutRedis) -> None:
    """400 with a sentence that names the ways; the connection is good for another request."""
    client = await edge.connect()
    answer = await client.ask(head("/sub", "Content-Length: 13", method="POST") + b'{"op":"ping"}')
    assert (answer.status, "Comet-Session" in answer.json["content"]) == (400, True)
    assert (await client.ask(posted("x", sub("b")))).status == 404
