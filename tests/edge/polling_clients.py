"""Clients that poll channels without an edge, for the tests of absences; the clock is in the hands of the test."""

from itertools import count

from common.position import Position
from edge.engine.absences import Absences
from edge.state import Channel, Seat
from tests.edge.edge_without_redis import FakeClock
from tests.edge.usual_log import at

LINGER = 30.0
NAMES = [("a",), ("b",), ("a", "b"), ("b", "a")]


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
