"""Sessions: how a held connection is named, by the edge or by its client."""

import json
import re

import pytest

from edge.framing.base import Framing
from edge.framing.http import Variant
from edge.framing.transports import framing_for
from edge.state import Seat
from edge.subscribers.sessions import Sessions
from tests.edge.change_requests import OWN, post, sub
from tests.edge.edge_without_redis import EdgeWithoutRedis
from tests.edge.http_client import head


class FakeSeats:
    """Stands in for the table of `Seats`."""

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
        """Return a new seat in the table."""
        seat = self.seats[fd] = Seat(fd)
        self.generations[fd] = generation
        seat.framing = framing or framing_for("stream", Variant())
        return seat


@pytest.fixture
def seats() -> FakeSeats:
    """Return an empty table."""
    return FakeSeats()


@pytest.fixture
def sessions(seats: FakeSeats) -> Sessions:
    """Return the sessions of an edge whose key is known."""
    return Sessions("0a1b2c3d", seats, b"k" * 32)


def test_a_session_begins_with_its_edge_and_has_one_length(sessions: Sessions, seats: FakeSeats) -> None:
    """The blank that stands for it is as long, whatever the descriptor."""
    for fd, generation in ((3, 1), (19_999, 7), (2**24 - 1, 2**63)):
        session = sessions.of(seats.seat(fd, generation))
        assert re.fullmatch(r"0a1b2c3d\.[A-Za-z0-9_-]{24}", session)
        assert len(session) == len(sessions.blank)


def test_a_session_leads_to_its_seat(sessions: Sessions, seats: FakeSeats) -> None:
    """To that, and to no other."""
    several = [seats.seat(fd, fd + 10) for fd in range(3, 30)]
    assert [sessions.find(sessions.of(seat)) for seat in several] == several
    assert len({sessions.of(seat) for seat in several}) == len(several)


def test_the_next_connection_has_another_session(sessions: Sessions, seats: FakeSeats) -> None:
    """The same descriptor in its next generation is another client's: the old session leads nowhere."""
    old = sessions.of(seats.seat(5, 1))
    seats.seat(5, 2)
    assert sessions.find(old) is None


def test_another_edge_or_another_start_has_other_sessions(sessions: Sessions, seats: FakeSeats) -> None:
    """Each edge has a key of its own, made when it starts."""
    seat = seats.seat(5, 1)
    other = Sessions("0a1b2c3d", seats)
    assert sessions.find(other.of(seat)) is None
    assert Sessions("ffffffff", seats, b"k" * 32).find(sessions.of(seat)) is None


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
        "unknown",
    ],
)
def test_what_is_no_session_leads_nowhere(sessions: Sessions, seats: FakeSeats, session: str) -> None:
    """Forged, cut off, or anything at all."""
    seats.seat(5, 1)
    assert sessions.find(session) is None


def test_a_poll_has_no_session_but_its_own(sessions: Sessions, seats: FakeSeats) -> None:
    """What its client named leads to it until it is forgotten; a second poll of that name takes it over."""
    poll = framing_for("poll", Variant())
    first, second = seats.seat(5, 1, poll), seats.seat(6, 2, poll)
    assert sessions.find(sessions.of(first)) is None
    sessions.name(first, OWN)
    sessions.name(second, OWN)
    assert sessions.find(OWN) is second
    sessions.forget(first)
    assert sessions.find(OWN) is second
    sessions.forget(second)
    assert sessions.find(OWN) is None


# Polls.


@pytest.mark.parametrize("path", ["/poll?", "/jsonp?callback=f&"])
async def test_a_poll_with_a_session_carries_it(edge: EdgeWithoutRedis, path: str) -> None:
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


async def test_another_poll_of_a_session_answers_the_one_before(edge: EdgeWithoutRedis) -> None:
    """A browser goes on loading a script that its page has given up, and has six connections to a host."""
    earlier = await edge.held(f"/poll?id=a&session={OWN}", transport="poll")
    await edge.held(f"/poll?id=b&session={OWN}", transport="poll")
    answer = await earlier.answer()
    assert (answer.json["messages"], answer.json["session"]) == ([], OWN)
    assert (await post(edge, OWN, sub("c"))).json["channels"] == ["b", "c"]


@pytest.mark.parametrize("session", ["short", "x" * 65, "with%20a%20space%20in%20it", "%C3%BC" * 20])
async def test_a_session_that_could_be_guessed_is_refused(edge: EdgeWithoutRedis, session: str) -> None:
    """16 to 64 plain characters; other transports have one of ours and ignore the parameter."""
    client = await edge.connect()
    answer = await client.ask(head(f"/poll?id=a&session={session}"))
    assert (answer.status, "session" in answer.json["content"]) == (400, True)
    await edge.held(f"/sub?id=a&session={session}")
