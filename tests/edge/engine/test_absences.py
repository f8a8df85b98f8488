"""Absences: each client counts once, whatever it does, and no stranger makes another one count as gone."""

import pytest

from common.position import START
from edge.engine.absences import MAX_SESSIONS, Absences
from edge.protocol.limits import MAX_CHANNELS
from tests.edge.polling_clients import LINGER, World
from tests.edge.usual_log import at

OWN = "a-session-of-my-own"


@pytest.fixture
def world() -> World:
    """Return an edge's absences with nobody there."""
    return World()


# One client is one subscriber (N1, N3).


def test_a_connection_that_polls_in_a_loop_is_one_subscriber(world: World) -> None:
    """With or without a position, held or away, until its time is over."""
    seat = world.connect()
    for since in (None, START, at(0)):
        world.looped(seat, 1000, since)
        assert world.counted() == 1
    world.poll(seat)
    assert world.counted() == 1
    world.answer(seat)
    world.pass_time(LINGER)
    assert world.counted() == 1
    world.pass_time(1.25)
    assert world.counted() == 0


def test_a_client_with_a_new_connection_for_each_poll_is_one_subscriber(world: World) -> None:
    """It is known by its position, or by its session."""
    for _ in range(10):
        seat = world.connect()
        world.looped(seat, since=world.channel().last)
        world.publish()
        world.close(seat)
        assert world.counted() == 1
    for _ in range(10):
        seat = world.connect()
        world.poll(seat, session=OWN)
        world.answer(seat)
        world.close(seat)
        assert world.counted() == 2


def test_a_client_that_was_at_another_edge_meanwhile_is_known_by_a_later_position(world: World) -> None:
    """What it has read there does not make it another client here; one that goes on from before is another."""
    one, again, other = world.connect(), world.connect(), world.connect()
    world.publish()
    world.looped(one)
    world.close(one)
    world.poll(other, since=at(0))
    assert world.counted() == 2
    world.poll(again, since=at(7))
    assert world.counted() == 2


def test_a_connection_whose_channels_change_is_one_subscriber_of_each(world: World) -> None:
    """Also of those that it comes back to later."""
    seat = world.connect()
    for number in range(300):
        names = [("a", "b"), ("b", "c"), ("c",), ("a",)][number % 4]
        world.poll(seat, *names)
        world.answer(seat)
    assert [world.counted(name) for name in "abc"] == [1, 1, 1]


def test_sessions_made_up_for_each_poll_are_one_connections(world: World) -> None:
    """A new name does not make a new client of the same connection."""
    seat = world.connect()
    for number in range(100):
        world.poll(seat, session=f"session-{number:016}")
        world.answer(seat)
    assert world.counted() == 1
    other = world.connect()
    world.poll(other, "hall", session=f"session-{7:016}")
    world.answer(other)
    world.poll(seat, session=f"session-{7:016}")
    assert (world.counted(), world.counted("hall")) == (1, 1)


def test_sessions_that_share_connections_are_counted_each(world: World) -> None:
    """As behind a load balancer: a session is known on every connection, and on one that another one had before."""
    shared = [world.connect() for _ in range(3)]
    for number, seat in enumerate(shared):
        world.poll(seat, session=f"session-{number:016}")
    for seat in shared:
        world.answer(seat)
    for turn in range(1, 6):
        for number in range(3):
            world.poll(shared[(number + turn) % 3], session=f"session-{number:016}")
        assert world.counted() == 3
        for seat in shared:
            world.answer(seat)
        assert world.counted() == 3


# Nobody makes another one count as gone (N2).


def test_a_poll_that_is_not_answered_puts_back_what_it_ended(world: World) -> None:
    """With the old deadline: to come back and go again does not prolong an absence."""
    seat, later = world.connect(), world.connect()
    world.looped(seat)
    world.pass_time(20)
    world.poll(seat)
    world.close(seat)
    assert world.counted() == 1
    world.poll(later, since=at(0))
    world.close(later)
    assert world.counted() == 1
    world.pass_time(11.25)
    assert world.counted() == 0


def test_what_strangers_do_with_the_position_of_another_one(world: World) -> None:
    """They come, wait, go, and are answered; the one between two polls counts all the time."""
    honest = world.connect()
    world.looped(honest)
    strangers = [world.connect() for _ in range(5)]
    for stranger in strangers:
        world.poll(stranger, since=at(0))
    assert world.counted() == 6
    for stranger in strangers:
        world.close(stranger)
    assert world.counted() == 1
    for _ in range(5):
        stranger = world.connect()
        world.looped(stranger, 20, at(0))
        assert world.counted() == 2
        world.close(stranger)
    world.poll(honest, since=at(0))
    assert world.counted() == 2


def test_what_strangers_do_with_the_session_of_another_one(world: World) -> None:
    """Whoever has it is that client: it can neither be counted twice nor count as gone."""
    honest, stranger = world.connect(), world.connect()
    world.poll(honest, session=OWN)
    world.answer(honest)
    for _ in range(3):
        world.poll(stranger, session=OWN)
        world.answer(stranger)
        assert world.counted() == 1
    world.poll(stranger, session=OWN)
    world.close(stranger)
    assert world.counted() == 1
    world.poll(honest, session=OWN)
    assert world.counted() == 1


def test_many_polls_of_one_session_do_not_use_up_the_absences_of_others(world: World) -> None:
    """A stranger that holds them at a time and has all of them answered leaves as many absences as it ended."""
    for _ in range(5):
        honest = world.connect()
        world.looped(honest)
        world.close(honest)
    strangers = [world.connect() for _ in range(5)]
    for stranger in strangers:
        world.poll(stranger, since=at(0), session=OWN)
    for stranger in strangers:
        world.answer(stranger)
    assert world.counted() == 5


def test_pollers_that_were_told_to_go_are_not_put_back(world: World) -> None:
    """A publisher has closed the channel: nobody is expected, and what is put back was of before."""
    seat, newcomer = world.connect(), world.connect()
    world.looped(seat)
    world.channel().pollers_away = None
    world.looped(newcomer)
    world.poll(seat)
    assert world.counted() == 2
    world.close(seat)
    assert world.counted() == 1


# Memory.


def test_what_is_overdue_is_forgotten(world: World) -> None:
    """Connections and sessions; those that are still expected stay."""
    for number in range(2500):
        world.looped(world.connect())
        world.poll(world.connect(), session=f"session-{number:016}")
    for seat in list(world.channel().seats):
        world.answer(seat)
    world.pass_time(LINGER + 1.25)
    world.looped(world.connect())
    while world.absences.tick():
        pass
    assert (len(world.absences.by_seat), len(world.absences._by_session)) == (1, 0)


def test_the_sessions_of_connections_that_are_gone_are_bounded(world: World) -> None:
    """The oldest become known by their position only, and count as before."""
    for number in range(MAX_SESSIONS + 10):
        seat = world.connect()
        world.poll(seat, session=f"session-{number:016}")
        world.answer(seat)
        world.close(seat)
    assert len(world.absences._by_session) == MAX_SESSIONS
    assert world.counted() == MAX_SESSIONS + 10
    world.poll(world.connect(), since=at(0), session=f"session-{0:016}")
    assert world.counted() == MAX_SESSIONS + 10
    assert len(world.absences.session_of) == 1


def test_a_connection_is_known_on_its_last_channels(world: World) -> None:
    """On as many as one poll may have; on those before them it is known by its position only."""
    seat = world.connect()
    for number in range(MAX_CHANNELS + 5):
        world.poll(seat, f"room-{number}")
        world.answer(seat)
    assert len(world.absences.by_seat[seat]) == MAX_CHANNELS
    assert [world.counted(f"room-{number}") for number in (0, 4, 5, MAX_CHANNELS + 4)] == [1, 1, 1, 1]
    world.poll(world.connect(), "room-4", since=at(0))
    assert world.counted("room-4") == 1


def test_without_a_linger_nobody_is_expected_back() -> None:
    """A client counts only while its poll is held."""
    world = World()
    world.absences = Absences(world.clock, 0.0)
    seat = world.connect()
    world.looped(seat)
    assert world.counted() == 0
    assert not world.absences.tick()
    assert world.absences.by_seat == {}


def test_a_long_linger_takes_no_more_counts() -> None:
    """Those that leave within a part of it are one count, and are expected that much longer at most."""
    world = World()
    world.absences = Absences(world.clock, 3600.0)
    for _ in range(7200):
        world.looped(world.connect())
        world.pass_time(1)
    away = world.channel().pollers_away
    assert away is not None
    assert len(away._counts) <= 62
    assert 3600 <= world.counted() <= 3661
