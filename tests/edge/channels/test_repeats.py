"""Repeats: those who missed the same get the same bytes, for as long as others ask for them."""

import pytest

from common.message import Message
from edge.channels.kept import KEPT_SECONDS
from edge.channels.repeats import MAX_KEPT, MAX_KEPT_BYTES, Repeats
from edge.framing.base import SHORT_DATA, Bundle
from edge.framing.http import Variant
from edge.framing.transports import framing_for
from edge.state import Channel
from tests.edge.edge_without_redis import FakeClock
from tests.edge.usual_log import stored

NOW = 5.0  # Unix time, in seconds
STREAM = framing_for("stream", Variant())


@pytest.fixture
def clock() -> FakeClock:
    """Return a clock that stands still."""
    return FakeClock()


@pytest.fixture
def repeats(clock: FakeClock) -> Repeats:
    """Return no repeats yet."""
    return Repeats(clock)


def missed(first: int = 1, size: int = SHORT_DATA, expires: int = 0) -> list[Message]:
    """Return two messages, of which one is long."""
    return [stored(first, b"m" * size)._replace(expires=expires), stored(first + 1, b"short")]


def got(repeats: Repeats, messages: list[Message], now: float, channel: str) -> Bundle:
    """Return what one who missed these messages of a channel gets."""
    bundle = repeats.get(Channel(channel), messages, now)
    assert bundle is not None
    return bundle


def test_who_missed_the_same_shares_it(repeats: Repeats) -> None:
    """Whether the ring or the log told it; another channel, and another position, have their own."""
    one = got(repeats, missed(), NOW, "room")
    assert [item.content for item in one.items] == ["m" * SHORT_DATA, "short"]
    assert got(repeats, missed(), NOW, "room") is one
    assert got(repeats, missed(), NOW, "other") is not one
    assert got(repeats, missed(2), NOW, "room") is not one
    assert got(repeats, missed()[:1], NOW, "room") is not one


def test_what_is_short_is_not_kept(repeats: Repeats) -> None:
    """A poller that comes back for a message or two costs what it always did."""
    assert repeats.get(Channel("room"), missed(size=10), NOW) is None
    assert repeats.size == 0


def test_what_nobody_asks_for_is_forgotten(repeats: Repeats, clock: FakeClock) -> None:
    """A moment after the last one did."""
    one = got(repeats, missed(), NOW, "room")
    clock.now += KEPT_SECONDS / 2
    assert got(repeats, missed(), NOW, "room") is one
    clock.now += KEPT_SECONDS / 2
    assert not repeats.tick()
    assert got(repeats, missed(), NOW, "room") is one
    clock.now += KEPT_SECONDS
    repeats.tick()
    assert repeats.size == 0


def test_what_expires_is_not_sent_again(repeats: Repeats) -> None:
    """It was sent while it was valid; who comes later gets the rest."""
    got(repeats, missed(expires=5500), NOW, "room")
    assert len(got(repeats, missed(expires=5500), 5.4, "room").items) == 2
    assert [item.content for item in got(repeats, missed(expires=5500), 5.5, "room").items] == ["short"]


def test_what_is_kept_is_bounded_in_number(repeats: Repeats) -> None:
    """Those go first that were asked for first."""
    ones = [got(repeats, missed(first), NOW, "room") for first in range(MAX_KEPT + 1)]
    assert got(repeats, missed(MAX_KEPT), NOW, "room") is ones[-1]
    assert got(repeats, missed(1), NOW, "room") is ones[1]
    assert got(repeats, missed(0), NOW, "room") is not ones[0]


def test_what_is_kept_is_bounded_in_bytes(repeats: Repeats) -> None:
    """With what was made of it for each framing."""
    size = MAX_KEPT_BYTES // 2 - 1000
    one = got(repeats, missed(size=size), NOW, "room")
    one.encode(STREAM)
    assert MAX_KEPT_BYTES - 2000 < repeats.size <= MAX_KEPT_BYTES
    assert got(repeats, missed(size=size), NOW, "room") is one
    one.pieces(framing_for("poll", Variant(session_size=9)))
    got(repeats, missed(size=size), NOW, "room")
    assert repeats.size == 0
