"""Changes of channels by a request on another connection: sessions, POST /sub/<session>, each transport's answer."""

import json
import re
from typing import Any

import pytest

from common.errors import RequestError
from common.rpc.client import Replies
from common.rpc.messages import Reply
from edge.cluster.forwarding import NOT_HELD
from edge.framing.base import Framing
from edge.framing.http import Variant
from edge.framing.transports import framing_for
from edge.protocol.http import MAX_BODY_BYTES
from edge.protocol.operations import Op, Operation
from edge.state import Seat
from edge.subscribers.sessions import Sessions
from tests.edge.edge_without_redis import GENESIS, Answer, Client, SmallEdge, head, small_edge
from tests.edge.framing.reading import Event, read_chunks, read_sse
from tests.edge.websocket_client import speaker

OWN = "a-session-of-my-own"
NOWHERE = f"0-{GENESIS}"


def posted(session: str, body: object, *headers: str) -> bytes:
    """Return a request that changes a session's channels."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return head(f"/sub/{session}", f"Content-Length: {len(data)}", *headers, method="POST") + data


async def post(edge: SmallEdge, session: str, body: object) -> Answer:
    """Change a session's channels on a connection of its own."""
    client = await edge.connect()
    answer = await client.ask(posted(session, body))
    client.close()
    await edge.turns()
    return answer


def sub(name: str, **more: object) -> dict[str, object]:
    """Return an operation."""
    return {"op": "sub", "id": name, **more}


def unsub(name: str) -> dict[str, object]:
    """Return an operation."""
    return {"op": "unsub", "id": name}


async def held(edge: SmallEdge, target: str, transport: str) -> tuple[Client, str]:
    """Return a client that holds this request, and the session in its welcome."""
    client, before = await edge.connect(), edge.counters.opened_total[transport]
    await client.send(head(target))
    await edge.until(lambda: edge.counters.opened_total[transport] > before)
    found = re.search(rb'"session":"([^"]+)"', await client.until(b"\n\r\n"))
    while found is None:
        found = re.search(rb'"session":"([^"]+)"', await client.until(b"\n\r\n"))
    return client, found[1].decode()


async def lines(client: Client, count: int) -> list[Any]:
    """Return the next objects of a stream."""
    got: list[Any] = []
    while len(got) < count:
        body, _ = read_chunks(await client.until(b"\n\r\n"))
        got += [json.loads(line) for line in body.splitlines() if line]
    return got


# The session itself.


class Descriptors:
    """Stands where the table of seats stands."""

    def __init__(self) -> None:
        self.seats: dict[int, Seat] = {}
        self.generations: dict[int, int] = {}

    def generation(self, fd: int) -> int:
        """Return how many connections a descriptor has had."""
        return self.generations[fd]

    def get(self, fd: int) -> Seat | None:
        """Return the seat of a descriptor."""
        return self.seats.get(fd)

    def seat(self, fd: int, generation: int, framing: Framing | None = None) -> Seat:
        """Seat somebody."""
        seat = self.seats[fd] = Seat(fd)
        self.generations[fd] = generation
        seat.framing = framing or framing_for("stream", Variant())
        return seat


@pytest.fixture
def descriptors() -> Descriptors:
    """Return an empty table."""
    return Descriptors()


@pytest.fixture
def sessions(descriptors: Descriptors) -> Sessions:
    """Return the sessions of an edge whose key is known."""
    return Sessions("0a1b2c3d", descriptors, b"k" * 32)  # type: ignore[arg-type]


def test_a_session_begins_with_its_edge_and_has_one_length(sessions: Sessions, descriptors: Descriptors) -> None:
    """The blank that stands for it is as long, whatever the descriptor."""
    for fd, generation in ((3, 1), (19_999, 7), (2**24 - 1, 2**63)):
        session = sessions.of(descriptors.seat(fd, generation))
        assert re.fullmatch(r"0a1b2c3d\.[A-Za-z0-9_-]{24}", session)
        assert len(session) == len(sessions.blank)


def test_a_session_leads_to_its_seat(sessions: Sessions, descriptors: Descriptors) -> None:
    """To that, and to no other."""
    seats = [descriptors.seat(fd, fd + 10) for fd in range(3, 30)]
    assert [sessions.find(sessions.of(seat)) for seat in seats] == seats
    assert len({sessions.of(seat) for seat in seats}) == len(seats)


def test_the_next_connection_has_another_session(sessions: Sessions, descriptors: Descriptors) -> None:
    """The same descriptor in its next generation is somebody else: the old session leads nowhere."""
    old = sessions.of(descriptors.seat(5, 1))
    descriptors.seat(5, 2)
    assert sessions.find(old) is None


def test_another_edge_or_another_start_has_other_sessions(sessions: Sessions, descriptors: Descriptors) -> None:
    """Each edge has a key of its own, made when it starts."""
    seat = descriptors.seat(5, 1)
    other = Sessions("0a1b2c3d", descriptors)  # type: ignore[arg-type]
    assert sessions.find(other.of(seat)) is None
    assert Sessions("ffffffff", descriptors, b"k" * 32).find(sessions.of(seat)) is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "session",
    [
        "",
        ".",
        "0a1b2c3d.",
        "0a1b2c3d.AAAF",
        "0a1b2c3d.AAAF" + "A" * 20,
        "0a1b2c3d.!",
        "0a1b2c3d.ü",
        "x.\ud800",
        "nobody",
    ],
)
def test_what_is_no_session_leads_nowhere(sessions: Sessions, descriptors: Descriptors, session: str) -> None:
    """Forged, cut off, or anything at all."""
    descriptors.seat(5, 1)
    assert sessions.find(session) is None


def test_a_poll_has_no_session_but_its_own(sessions: Sessions, descriptors: Descriptors) -> None:
    """What its client named leads to it until it is forgotten; a second poll of that name takes it over."""
    poll = framing_for("poll", Variant())
    first, second = descriptors.seat(5, 1, poll), descriptors.seat(6, 2, poll)
    assert sessions.find(sessions.of(first)) is None
    sessions.name(first, OWN)
    sessions.name(second, OWN)
    assert sessions.find(OWN) is second
    sessions.forget(first)
    assert sessions.find(OWN) is second
    sessions.forget(second)
    assert sessions.find(OWN) is None


# Held connections.


async def test_a_streams_channels_change(edge: SmallEdge) -> None:
    """The answer lists the channels it has then; their welcomes and messages go down the stream."""
    client, session = await held(edge, "/sub?id=a", "stream")
    assert session.startswith("edge.")
    answer = await post(edge, session, [sub("b", ref="x"), unsub("a"), {"op": "ping"}])
    assert (answer.status, answer.json) == (200, {"type": "ack", "channels": ["b"]})
    done, pong, welcome = await lines(client, 3)  # Redis had to be asked for b
    assert welcome == {
        "type": "welcome",
        "id": "b",
        "content": "hello world!",
        "seq": NOWHERE,
        "ref": "x",
        "session": session,
    }
    assert (done, pong) == ({"type": "unsub", "id": "a"}, {"type": "pong"})
    edge.publish("a", b"nobody is there")
    edge.publish("b", b"hi")
    assert (await lines(client, 1))[0]["content"] == "hi"


async def test_a_websockets_channels_change(edge: SmallEdge) -> None:
    """The same operations by the other way."""
    one = await speaker(edge, "a")
    answer = await post(edge, one.session, sub("b"))
    assert answer.json == {"type": "ack", "channels": ["a", "b"]}
    assert (await one.next_object())["id"] == "b"


async def test_an_event_source_that_changed_names_its_channels(edge: SmallEdge) -> None:
    """From the change on its ids name the channels, and its data is the object; with that id it comes back to all."""
    client, session = await held(edge, "/sse?id=a%3D1", "sse")
    edge.publish("a=1", b"raw")
    assert read_sse(read_chunks(await client.until(b"raw\n\n\r\n"))[0].decode())[0].data == "raw"
    assert (await post(edge, session, sub("b&c"))).json["channels"] == ["a=1", "b&c"]
    (welcome,) = read_sse(read_chunks(await client.until(b"\n\n\r\n"))[0].decode())
    assert (welcome.name, welcome.last_id) == ("welcome", f"a%3D1=1-101&b%26c={NOWHERE}")
    edge.publish("a=1", b"hi")
    (event,) = read_sse(read_chunks(await client.until(b"\n\n\r\n"))[0].decode())
    assert json.loads(event.data) == {"type": "data", "id": "a=1", "content": "hi", "seq": "2-102"}
    assert event.last_id == f"a%3D1=2-102&b%26c={NOWHERE}"
    client.close()
    await edge.until(lambda: len(edge.seats) == 0)
    edge.publish("b&c", b"missed")
    again = await edge.connect()
    await again.send(head("/sse?id=a%3D1", f"Last-Event-ID: {event.last_id}"))
    data = await again.until(b'"content":"missed"')
    assert b"id: a%3D1=2-102&b%26c=1-101\ndata: " in data
    assert {channel.name for channel in next(iter(edge.seats)).channels} == {"a=1", "b&c"}


async def test_a_change_in_the_middle_of_a_broadcast_has_the_right_position(
    edge: SmallEdge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A seat that a job has not reached yet is given what it is owed, and then stands behind it, and no further."""
    for name in "baa":
        await edge.held(f"/sse?id={name}", transport="sse")
    client, session = await held(edge, "/sse?id=a", "sse")
    seat, channels = edge.sessions.find(session), []
    assert seat is not None
    with monkeypatch.context() as patched:
        patched.setattr("edge.engine.fanout.SEATS_PER_STEP", 1)
        patched.setattr("edge.engine.fanout.TURN_BUDGET", -1.0)
        edge.publish("a", b"1")
        edge.publish("a", b"2")
        edge.changes.change(seat, [Operation(Op.SUB, "b")], channels.append)
    assert channels == [["a", "b"]]
    await edge.turns()
    edge.publish("b", b"3")
    events: list[Event] = []
    while len(events) < 4:
        events += read_sse(read_chunks(await client.until(b"\n\n\r\n"))[0].decode())
    assert [event.last_id for event in events] == [
        "1-101",
        f"a=1-101&b={NOWHERE}",
        f"a=2-102&b={NOWHERE}",
        "a=2-102&b=1-101",
    ]
    assert [event.name for event in events] == ["", "welcome", "", ""]


async def test_a_change_waits_for_a_channel_that_is_not_ready(edge: SmallEdge) -> None:
    """The answer comes when the channel is there; or after three seconds, without it."""
    _, session = await held(edge, "/sub?id=a", "stream")
    edge.pubsub.acknowledging = False
    poster = await edge.connect()
    await poster.send(posted(session, [sub("b"), sub("c")]))
    await edge.until(lambda: len(edge.pubsub.asked) == 3)
    edge.hub.on_subscribed(*edge.pubsub.asked[1])
    await edge.turns()
    assert poster.received == b""
    edge.pass_time(3.5)
    assert (await poster.answer()).json == {"type": "ack", "channels": ["a", "b"]}


async def test_who_goes_in_the_middle_of_a_change_is_not_held(edge: SmallEdge) -> None:
    """404, as if it had gone before."""
    client, session = await held(edge, "/sub?id=a", "stream")
    edge.pubsub.acknowledging = False
    poster = await edge.connect()
    await poster.send(posted(session, sub("b")))
    await edge.until(lambda: len(edge.pubsub.asked) == 2)
    client.close()
    assert (await poster.answer()).status == 404


# Polls.


@pytest.mark.parametrize("path", ["/poll?", "/jsonp?callback=f&"])
async def test_a_poll_with_a_session_carries_it(edge: SmallEdge, path: str) -> None:
    """Its answer begins with position and session, even where a message looks like a blank."""
    client = await edge.connect()
    await client.send(head(f"{path}id=a&session={OWN}"))
    await edge.until(edge.counters.opened_total.total)
    edge.publish("a", b'"' + b"*" * len(OWN) + b'"')
    answer = await client.answer()
    body = json.loads(answer.body[answer.body.index(b"{") : answer.body.rindex(b"}") + 1])
    assert body["session"] == OWN
    assert body["messages"][0]["content"] == '"' + "*" * len(OWN) + '"'
    assert edge.sessions.find(OWN) is None


async def test_a_held_poll_is_answered_by_its_change(edge: SmallEdge) -> None:
    """Acknowledgements first, then what was missed; the position names the channels and leads on."""
    edge.log.append("b", b"old")
    client = await edge.held(f"/poll?id=a&session={OWN}", transport="poll")
    operations = [sub("b", since="0", ref=1), unsub("x"), sub("a"), {"op": "ping"}]
    answer = await post(edge, OWN, operations)
    assert answer.json == {"type": "ack", "channels": ["a", "b"]}
    got = (await client.answer()).json
    assert got["seq"] == f"a={NOWHERE}&b=1-101"
    assert got["session"] == OWN
    assert [(each["type"], each.get("id"), each.get("seq")) for each in got["messages"]] == [
        ("welcome", "b", NOWHERE),
        ("unsub", "x", None),
        ("welcome", "a", NOWHERE),
        ("pong", None, None),
        ("data", "b", "1-101"),
    ]
    edge.publish("b", b"next")
    since = got["seq"].replace("=", "%3D").replace("&", "%26")
    answer = await client.ask(head(f"/poll?id=a&session={OWN}&since={since}"))
    assert [each["content"] for each in answer.json["messages"]] == ["next"]
    assert answer.json["seq"] == f"a={NOWHERE}&b=2-102"
    assert edge.counters.held("poll") == 0


async def test_a_changed_poll_that_finds_no_redis_is_sent_away(edge: SmallEdge) -> None:
    """It is asked again in its place, and fares like any poll: 503; who changed it hears 404."""
    client = await edge.held(f"/poll?id=a&session={OWN}", transport="poll")
    edge.pubsub.acknowledging = False
    poster = await edge.connect()
    await poster.send(posted(OWN, sub("b")))
    await edge.until(lambda: len(edge.pubsub.asked) == 2)
    edge.pass_time(3.5)
    assert (await client.answer()).status == 503
    assert (await poster.answer()).status == 404
    assert (edge.sessions.find(OWN), edge.changes._on_done) == (None, {})


async def test_a_poll_that_is_answered_meanwhile_is_not_held(edge: SmallEdge) -> None:
    """A message may come first."""
    await edge.held(f"/poll?id=a&session={OWN}", transport="poll")
    edge.publish("a", b"hi")
    assert (await post(edge, OWN, sub("b"))).status == 404


async def test_another_poll_of_a_session_answers_the_one_before(edge: SmallEdge) -> None:
    """A browser goes on loading a script that its page has given up, and has six connections to a host."""
    earlier = await edge.held(f"/poll?id=a&session={OWN}", transport="poll")
    await edge.held(f"/poll?id=b&session={OWN}", transport="poll")
    answer = await earlier.answer()
    assert (answer.json["messages"], answer.json["session"]) == ([], OWN)
    assert (await post(edge, OWN, sub("c"))).json["channels"] == ["b", "c"]


@pytest.mark.parametrize("session", ["short", "x" * 65, "with%20a%20space%20in%20it", "%C3%BC" * 20])
async def test_a_session_that_could_be_guessed_is_refused(edge: SmallEdge, session: str) -> None:
    """16 to 64 plain characters; other transports have one of ours and ignore the parameter."""
    client = await edge.connect()
    answer = await client.ask(head(f"/poll?id=a&session={session}"))
    assert (answer.status, "session" in answer.json["content"]) == (400, True)
    await edge.held(f"/sub?id=a&session={session}")


# The request.


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
async def test_a_bad_change_is_refused_as_a_whole(edge: SmallEdge, body: bytes, word: str) -> None:
    """400 with a sentence; nothing is done, and the connection is good for another request."""
    _, session = await held(edge, "/sub?id=a", "stream")
    client = await edge.connect()
    answer = await client.ask(posted(session, body))
    assert (answer.status, word in answer.json["content"]) == (400, True)
    assert (await client.ask(posted(session, sub("b")))).json["channels"] == ["a", "b"]


@pytest.mark.parametrize("session", ["edge.AAAA", "ffffffff.AAAA", "a-session-nobody-holds", "x", "%00", "a/b"])
async def test_a_session_that_is_not_held_is_404(edge: SmallEdge, session: str) -> None:
    """Ours, another edge's, or a client's own."""
    answer = await post(edge, session, sub("b"))
    assert (answer.status, answer.json["content"]) == (404, NOT_HELD)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (head("/sub/x", method="POST"), 411),
        (head("/sub/x", "Transfer-Encoding: chunked", method="POST") + b"0\r\n\r\n", 411),
        (head("/sub/x", f"Content-Length: {MAX_BODY_BYTES + 1}", method="POST"), 413),
        (head("/sub/x", "Content-Length: 1", method="PUT") + b"x", 413),
    ],
)
async def test_a_body_needs_a_length_that_is_allowed(edge: SmallEdge, data: bytes, status: int) -> None:
    """What cannot be read to its end ends the connection."""
    client = await edge.connect()
    answer = await client.ask(data)
    assert (answer.status, answer.headers["connection"]) == (status, "close")


async def test_a_body_may_come_in_pieces(edge: SmallEdge) -> None:
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


async def test_what_follows_a_change_waits_for_its_answer(edge: SmallEdge) -> None:
    """Requests sent ahead are answered in order."""
    _, session = await held(edge, "/sub?id=a", "stream")
    client = await edge.connect()
    await client.send(posted(session, sub("b")) + posted(session, unsub("b")) + head("/nowhere"))
    assert [(await client.answer()).json["channels"] for _ in range(2)] == [["a", "b"], ["a"]]
    assert (await client.answer()).status == 404


async def test_a_page_may_change_channels_only_from_an_allowed_origin() -> None:
    """CORS as for subscribing."""
    async with small_edge(allowed_origins=("https://a.example",)) as edge:
        client = await edge.connect()
        foreign = await client.ask(posted("x", sub("b"), "Origin: https://b.example"))
        ours = await client.ask(posted("x", sub("b"), "Origin: https://a.example"))
        assert (foreign.status, ours.status) == (403, 404)
        assert ours.headers["access-control-allow-origin"] == "https://a.example"


# Elsewhere.


def refusing(code: int) -> Reply:
    """Return the reply of an edge that cannot do it."""
    return Reply("ffffffff", {}, RequestError("no", code))


NOBODY = refusing(404)
DONE = Reply("ffffffff", {"channels": ["a"]})


@pytest.mark.parametrize(
    ("session", "asked"), [("ffffffff.AAAA", "ffffffff"), (OWN, None)], ids=["an edge's", "a client's own"]
)
@pytest.mark.parametrize(
    ("replies", "status"),
    [
        (Replies([], 0), 404),
        (Replies([NOBODY], 1), 404),
        (Replies([NOBODY, DONE], 2), 200),
        (Replies([refusing(503), DONE], 3), 200),
        (Replies([NOBODY, refusing(503)], 2), 503),
        (Replies([refusing(501)], 1), 503),
        (Replies([NOBODY], 2), 503),
    ],
)
async def test_a_session_of_another_edge_is_asked_for_there(
    edge: SmallEdge, session: str, asked: str | None, replies: Replies, status: int
) -> None:
    """The edge in its name, or all of them; what they reply is the answer."""
    questions: list[Any] = []

    async def ask(who: str | None, op: str, fields: Any, patience: float) -> Replies:
        questions.append((who, op, fields))
        return replies

    edge.forwarder._ask = ask
    answer = await post(edge, session, sub("b"))
    assert answer.status == status
    assert questions == [(asked, "change", {"session": session, "ops": [sub("b")]})]
    if status == 503:
        assert "retry-after" in answer.headers


async def test_a_change_asked_by_another_edge_is_done(edge: SmallEdge) -> None:
    """The other half of it."""
    _, session = await held(edge, "/sub?id=a", "stream")
    assert await edge.forwarder.on_change({"session": session, "ops": [sub("b")]}) == {"channels": ["a", "b"]}
    for fields in ({}, {"session": 7, "ops": []}, {"session": session, "ops": "x"}, {"session": session, "ops": [7]}):
        with pytest.raises(RequestError) as caught:
            await edge.forwarder.on_change(fields)
        assert caught.value.status == 400
