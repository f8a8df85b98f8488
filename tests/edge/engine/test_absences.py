"""Absences: each client counts once, whatever it does, and no stranger makes another one count as gone."""

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.position import START, Position
from edge.engine.absences import MAX_SESSIONS, Absences
from edge.protocol.subscribe import MAX_CHANNELS
from edge.state import Channel, Seat
from tests.edge.edge_without_redis import FakeClock
from tests.edge.usual_log import at

LINGER = 30.0
OWN = "a-session-of-my-own"


class World:
    """Channels, and the connections that poll them."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.absences = Absences(self.clock, LINGER)
        self.channels: dict[str, Channel] = {}
        self._fds = count(10)

    def channel(self, name: str = "room") -> Channel:
        """Return a channel, which stands at the beginning of its log unless it was moved."""
        if name not in self.channels:
            self.channels[name] = Channel(name)
            self.channels[name].last = at(0)
        return self.channels[name]

    def publish(self, name: str = "room") -> None:
        """Move a channel to its next message."""
        channel = self.channel(name)
        assert channel.last is not None
        channel.last = at(channel.last.offset + 1)

    def pass_time(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.now += seconds
        self.absences.tick()

    def connect(self) -> Seat:
        """Return a new connection."""
        return Seat(next(self._fds))

    def poll(self, seat: Seat, *names: str, since: Position | None = None, session: str = "") -> None:
        """Let a connection hold a poll of these channels."""
        channels = tuple(map(self.channel, names or ("room",)))
        seat.attach(channels, 0)
        for channel in channels:
            channel.add(seat)
        self.absences.came_back(seat, (since,) * len(channels) if since is not None else None, session)

    def answer(self, seat: Seat) -> None:
        """Answer a held poll."""
        self.absences.left(seat)
        self._detach(seat)

    def close(self, seat: Seat) -> None:
        """End a connection, whether it holds a poll or not."""
        seat.die()
        self._detach(seat)

    def looped(self, seat: Seat, times: int = 1, since: Position | None = None) -> None:
        """Poll and be answered, again and again."""
        for _ in range(times):
            self.poll(seat, since=since)
            self.answer(seat)

    def counted(self, name: str = "room") -> int:
        """Return the channel's number of subscribers."""
        return self.channel(name).subscribers(self.clock())

    def _detach(self, seat: Seat) -> None:
        self.absences.on_detach(seat)
        for channel in seat.channels:
            channel.discard(seat)
        seat.detach()


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
    assert (len(world.absences._by_seat), len(world.absences._by_session)) == (1, 0)


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
    assert len(world.absences._session_of) == 1


def test_a_connection_is_known_on_its_last_channels(world: World) -> None:
    """On as many as one poll may have; on those before them it is known by its position only."""
    seat = world.connect()
    for number in range(MAX_CHANNELS + 5):
        world.poll(seat, f"room-{number}")
        world.answer(seat)
    assert len(world.absences._by_seat[seat]) == MAX_CHANNELS
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
    assert world.absences._by_seat == {}


def test_a_long_linger_takes_no_more_counts() -> None:
    """Those that leave within a part of it are one count, and are expected that much longer at most."""
    world = World()
    world.absences = Absences(world.clock, 3600.0)
    for _ in range(7200):
        world.looped(world.connect())
        world.pass_time(1)
    away = world.channel().pollers_away
    assert away is not None
    assert len(away._by_until) <= 62
    assert 3600 <= world.counted() <= 3661


# Any order.

Steps = list[tuple[int, int, int]]
STEPS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 7), st.integers(0, 3)), max_size=60)
NAMES = [("a",), ("b",), ("a", "b"), ("b", "a")]


class HonestClient:
    """A client that goes on from where it stands, on a connection that it keeps or on a new one."""

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.session = f"session-{number:016}" if number % 2 else ""
        self.names = NAMES[number % len(NAMES)]
        self.seat = world.connect()
        self.holds = False
        self.since: tuple[Position | None, ...] | None = None

    def step(self, *, reconnects: bool) -> None:
        """Be answered, or poll again."""
        if self.holds:
            self.since = tuple(self.world.channel(name).last for name in self.names)
            self.world.answer(self.seat)
        else:
            self._poll(reconnects=reconnects)
        self.holds = not self.holds

    def _poll(self, *, reconnects: bool) -> None:
        if reconnects:
            self.world.close(self.seat)
            self.seat = self.world.connect()
        channels = tuple(map(self.world.channel, self.names))
        self.seat.attach(channels, 0)
        for channel in channels:
            channel.add(self.seat)
        self.world.absences.came_back(self.seat, self.since, self.session)


@given(STEPS)
def test_clients_that_go_on_from_where_they_stand_are_counted_exactly(steps: Steps) -> None:
    """Whatever the order: those that have come, as long as nobody is overdue."""
    world = World()
    clients: dict[int, HonestClient] = {}
    for what, which, _ in steps:
        world.pass_time(0.45)
        if what == 0:
            world.publish("ab"[which % 2])
            continue
        if which not in clients:
            clients[which] = HonestClient(world, which)
        clients[which].step(reconnects=what == 1)
        for name in "ab":
            assert world.counted(name) == sum(name in each.names for each in clients.values())


@given(STEPS)
def test_whatever_strangers_do_nobody_counts_as_gone(steps: Steps) -> None:
    """They know every position and make up sessions; a channel never has fewer subscribers than honest clients."""
    world = World()
    clients = [HonestClient(world, number) for number in range(4)]
    for client in clients:
        client.step(reconnects=False)
    strangers = {number: world.connect() for number in range(4)}
    for what, which, how in steps:
        world.pass_time(0.45)
        seat = strangers.get(which)
        if seat is None:
            clients[which % 4].step(reconnects=how == 0)
        elif what == 0:
            world.close(seat)
            strangers[which] = world.connect()
        elif seat.channels:
            world.answer(seat)
        else:
            since = [None, START, at(0), at(5)][how]
            world.poll(seat, *NAMES[what - 1], since=since, session=f"stranger-{how:016}" if how > 1 else "")
        if what == 3:
            world.publish("ab"[how % 2])
        for name in "ab":
            assert world.counted(name) >= sum(name in client.names for client in clients)


@given(STEPS)
def test_a_stranger_that_comes_and_goes_leaves_no_trace(steps: Steps) -> None:
    """If it was not answered, the number is the same as before."""
    world = World()
    clients = [HonestClient(world, number) for number in range(8)]
    for what, which, how in steps:
        world.pass_time(0.45)
        clients[which].step(reconnects=what == 1)
        before = [world.counted(name) for name in "ab"]
        stranger = world.connect()
        world.poll(stranger, *NAMES[how], since=[None, START, at(0), at(5)][what % 4])
        world.close(stranger)
        assert [world.counted(name) for name in "ab"] == before
