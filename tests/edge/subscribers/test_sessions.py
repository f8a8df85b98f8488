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
from tests.edge.edge_without_redis import SmallEdge
from tests.edge.http_client import head


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
