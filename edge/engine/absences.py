"""Absences: a poller between two polls counts as a subscriber, and its next poll ends that. So each client counts once.

N1  A poll that is held ends, on each of its channels, one absence: that of its session; if that has none, that of its
    connection; else one that a connection has left behind, at the poll's position or before.
N2  It puts back what it has ended, with the old deadline, unless it is answered: then a new absence begins, which lasts
    longer. So no poll, of whatever stranger, makes a channel's number of subscribers smaller than it would be without.
N3  A client has one absence on a channel at most. So its polls, however many, do not make the number larger.

The absences themselves are numbers (edge/pollers.py). Here stands in which of them a connection or a session is, and
that takes memory only as long as there is the connection, or for MAX_SESSIONS sessions.
"""

from collections.abc import Callable, Sequence
from itertools import islice, repeat, takewhile
from typing import TypeVar

from common.position import Position
from edge.chain import EMPTY
from edge.engine.wheel import TICK_PERIOD
from edge.pollers import Departed
from edge.protocol.limits import MAX_CHANNELS
from edge.state import Seat

MAX_SESSIONS = 10_000  # whose absences are found by their name, the last ones; the others' as if they had no session
MAX_COUNTS = 60  # of one channel: those that leave within a second are one, or within a sixtieth of a longer linger
FORGOTTEN_PER_TURN = 1000

Departures = tuple[Departed, ...]  # one for each channel on which a client is absent
Owner = TypeVar("Owner")  # a connection or a session


class Absences:
    """Which client each absent poller is; it counts as connected for `seconds`, up to 1.25 longer.

    The time of a count begins and ends with a `tick`: to look at the clock for each answer would take longer.
    """

    def __init__(self, clock: Callable[[], float], seconds: float) -> None:
        self.taken: dict[Seat, Departures] = {}  # what held polls have ended
        self._clock = clock
        self._seconds = seconds
        self._grain = max(1.0, seconds / MAX_COUNTS)
        self._grain_ends = self._until = 0.0
        self.by_seat: dict[Seat, Departures] = {}
        self._by_session: dict[str, Departures] = {}
        self.session_of: dict[Seat, str] = {}  # of the last poll of a connection, if it had one
        self.tick()

    def came_back(self, seat: Seat, since: Sequence[Position | None] | None, session: str) -> None:
        """A poll is held, with these positions, if any, on its channels: end the absence of its client (N1)."""
        own = self._recognise(seat, session) if session or self.session_of else self.by_seat.pop(seat, EMPTY)
        if len(own) == 1 == len(seat.channels) and own[0].channel == seat.channels[0].name:
            own[0].count -= 1
            self.taken[seat] = own
        elif own or since is not None:
            self._end_each(seat, own, since)

    def left(self, seat: Seat) -> None:
        """A poll is answered now: its client is absent on its channels (N2)."""
        self.taken.pop(seat, None)
        until = self._until
        departures: Departures = EMPTY
        for channel in seat.channels:
            away = channel.pollers_away
            if away is not None and away.until == until:
                away.newest[0].count += 1
                departures += away.newest
            else:
                departures += channel.poller_left(self._clock(), until)
        if self.session_of or self.by_seat.setdefault(seat, departures) is not departures:
            self._give(seat, departures)

    def on_detach(self, seat: Seat) -> None:
        """A poll is over: if it was not answered, put back what it had ended; free what a connection leaves behind."""
        taken = self.taken.pop(seat, EMPTY)
        for departed in taken:
            departed.count += 1
        if taken:
            self._give(seat, taken)
        if seat.fd < 0:
            self.connection_ends(seat)

    def connection_ends(self, seat: Seat) -> None:
        """No more polls come on this connection: what is absent and has no session is known by its position only."""
        self.session_of.pop(seat, None)
        _free(self.by_seat.pop(seat, EMPTY))

    def tick(self) -> bool:
        """Begin a new count if it is time, forget clients that are overdue, and return whether there may be more."""
        now = self._clock()
        if now >= self._grain_ends and self._seconds:  # else all are overdue at once
            self._grain_ends = now + self._grain
            self._until = self._grain_ends + TICK_PERIOD + self._seconds
        return _forget_overdue(self.by_seat, now) or _forget_overdue(self._by_session, now)

    # Whose an absence is.

    def _recognise(self, seat: Seat, session: str) -> Departures:
        """Return the absences of a session and, on channels where it has none, those of the connection of its poll."""
        own, of_connection = self._by_session.pop(session, EMPTY), self._take_from(seat)
        missing = {channel.name for channel in seat.channels}.difference([departed.channel for departed in own])
        rest = tuple([departed for departed in of_connection if departed.channel not in missing])
        if rest:
            self._give(seat, rest)
        if session:
            self.session_of[seat] = session
        else:
            self.session_of.pop(seat, None)
        return own + tuple([departed for departed in of_connection if departed.channel in missing])

    def _take_from(self, seat: Seat) -> Departures:
        session = self.session_of.get(seat)
        return self.by_seat.pop(seat, EMPTY) if session is None else self._by_session.pop(session, EMPTY)

    def _give(self, seat: Seat, departures: Departures) -> None:
        """Let a client have absences, besides those on other channels (N3)."""
        session = self.session_of.get(seat)
        if session is None:
            self.by_seat[seat] = _merged(self.by_seat.pop(seat, EMPTY), departures)
            return
        self._by_session[session] = _merged(self._by_session.pop(session, EMPTY), departures)
        if len(self._by_session) > MAX_SESSIONS:
            _free(self._by_session.pop(next(iter(self._by_session))))

    def _end_each(self, seat: Seat, own: Departures, since: Sequence[Position | None] | None) -> None:
        """End an absence on each channel, the client's own or a free one; it stays absent on its other channels."""
        now, others = self._clock(), {departed.channel: departed for departed in own}
        taken: list[Departed] = []
        for channel, at in zip(seat.channels, since or repeat(None), strict=False):
            away = channel.pollers_away
            if away is None:
                continue
            departed = others.pop(channel.name, None)
            if departed is not None:
                departed.count -= 1
                taken.append(departed)
            elif at is not None and (free := away.take_free(now, at.tag)) is not None:
                taken.append(free)
        if taken:
            self.taken[seat] = tuple(taken)
        if others:
            self._give(seat, tuple(others.values()))


def _merged(before: Departures, departures: Departures) -> Departures:
    """Return a client's absences together: on each channel the last one, and in all the last MAX_CHANNELS.

    The others are freed. They may have begun with two polls of one session that were held at a time, and each of these
    may have ended somebody else's absence: if one of them counted no more, that one would be missing (N2).
    """
    if not before:
        return departures
    by_channel = {departed.channel: departed for departed in before}
    for departed in departures:
        other = by_channel.pop(departed.channel, None)
        if other is not None:
            _free((other,))
        by_channel[departed.channel] = departed
    merged = tuple(by_channel.values())
    _free(merged[:-MAX_CHANNELS])
    return merged[-MAX_CHANNELS:]


def _free(departures: Departures) -> None:
    """Let absences be ended by any poll that goes on from their position."""
    for departed in departures:
        departed.free += 1


def _forget_overdue(table: dict[Owner, Departures], now: float) -> bool:
    """Forget the oldest entries that are overdue, and return whether there may be more."""
    oldest = islice(table.items(), FORGOTTEN_PER_TURN)
    overdue = [owner for owner, _ in takewhile(lambda entry: entry[1][-1].until <= now, oldest)]
    for owner in overdue:
        del table[owner]
    return len(overdue) == FORGOTTEN_PER_TURN
