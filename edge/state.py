"""The records that point at each other: a seat, its channels, what it waits for, and a job of the fan-out. Pure.

They are one data structure, so they stand in one file. The code that works on them is above it: edge/engine/ writes to
seats, edge/channels/ attaches them to channels, and edge/subscribers/ holds them.

P1  A seat, which is one connection, is in one `Phase`. The methods of `Seat` change it, and nothing else does.
P2  A seat is on the fast path if and only if it is HELD on one channel, gets that channel's shared bytes as they are,
    and has nothing parked. `Seat.refresh_fast_path` is the only code that puts a seat on it.
"""

from collections.abc import Callable, Collection, Sequence
from enum import IntEnum
from typing import ClassVar, NamedTuple

from common.message import Message
from common.position import Position, Positions
from edge.chain import EMPTY, PIECE_BYTES, size_of
from edge.channel_log import LIVE, ChannelLog
from edge.framing.base import Batch, Bundle, Framing
from edge.framing.items import Item
from edge.parked import NEVER, Parked
from edge.pollers import AwayPollers, Departed
from edge.protocol.subscribe import SubscribeRequest


class Phase(IntEnum):
    """What a connection is busy with (P1)."""

    IDLE = 0  # between two requests: what arrives is the next request
    WAITING = 1  # a request is being answered that takes time; `pending` says what it waits for
    HELD = 2  # a subscriber; `framing` makes its bytes
    ENDING = 3  # this side is done: only unsent bytes and the peer's close are outstanding
    DEAD = 4  # the descriptor is closed, for good (S3)


# Members by their own names: an attribute of an Enum costs five times as much as a global, and this is per request.
IDLE, WAITING, HELD, ENDING, DEAD = Phase


class Seat:
    """One connection, from its acceptance to its end: a descriptor and a few slots (edge/engine/seats.py)."""

    __slots__ = (
        "attached_at_job",
        "channels",
        "deadline",
        "expires",
        "fast_path",
        "fd",
        "framing",
        "pending",
        "phase",
        "positions",
        "recv_buffer",
        "send_buffer",
        "shares_bytes",
        "tick",
    )

    def __init__(self, fd: int) -> None:
        self.fd = fd  # -1 once the connection is closed
        self.phase = IDLE
        self.framing: Framing | None = None  # while HELD
        self.pending: Pending | None = None  # while WAITING
        self.channels: tuple[Channel, ...] = ()
        self.positions: Positions | None = None  # one for each channel, if its bytes depend on all of them
        self.attached_at_job = 0  # how many fan-out jobs had begun when it was attached
        self.shares_bytes = False  # gets its one channel's shared bytes as they are
        self.fast_path = False  # P2
        self.recv_buffer = b""  # received, not yet served
        self.send_buffer: Parked | None = None  # to be sent, not yet accepted by the kernel
        self.expires = NEVER  # when it has reached its greatest age; it is evicted at its next deadline after that
        self.deadline = 0.0  # of what comes next: a heartbeat, a poll's answer, the end of a wait; in seconds
        self.tick = 0  # the wheel's

    @property
    def cursor(self) -> str:
        """What the client sends back to go on after everything that was sent to it."""
        if self.positions is not None:
            return self.positions.cursor
        return self.channels[0].cursor if self.channels else ""

    @property
    def delivered_positions(self) -> Positions | dict[str, str]:
        """Its position on each channel, by the channel's name, once all that is on its way to it is sent."""
        return self.positions or {channel.name: channel.delivered_position for channel in self.channels}

    def keep(self, data: bytes) -> None:
        """Keep bytes that were received and cannot be served yet, in place of those that were kept before."""
        self.recv_buffer = data

    def attach(self, channels: "tuple[Channel, ...]", jobs_begun: int) -> None:
        """Belong to these channels; the first job that means this seat is the one after `jobs_begun` (F2)."""
        self.channels, self.attached_at_job = channels, jobs_begun

    def wait(self, pending: "Pending") -> None:
        """Leave the request unanswered until `pending` is done."""
        self.phase, self.pending = WAITING, pending

    def hold(self, framing: Framing, positions: Positions | None) -> None:
        """Be a subscriber from now on; `positions` are given if its bytes depend on all its channels."""
        self.phase, self.pending, self.framing, self.positions = HELD, None, framing, positions
        if not framing.single_response:
            self.refresh_fast_path()

    def refresh_fast_path(self) -> None:
        """Decide anew whether shared bytes may go straight to the descriptor (P2)."""
        framing = self.framing
        self.shares_bytes = (
            framing is not None and not framing.single_response and self.positions is None and len(self.channels) == 1
        )
        self.fast_path = self.shares_bytes and self.send_buffer is None

    def detach(self) -> None:
        """Belong to no channel and wait for nothing; the connection stays open."""
        self.channels = ()
        self.framing = self.pending = self.positions = None
        self.shares_bytes = self.fast_path = False
        if self.phase < ENDING:
            self.phase = IDLE

    def leave(self, channel: "Channel") -> None:
        """Belong to one of its channels no longer."""
        channels = self.channels
        if channel in channels:
            index = channels.index(channel)
            self.channels = channels[:index] + channels[index + 1 :]

    def end(self) -> None:
        """Serve nothing more that the client sends."""
        self.phase = ENDING

    def die(self) -> int:
        """Forget the descriptor, which the caller closes next, and return it."""
        fd, self.fd, self.phase = self.fd, -1, DEAD
        self.deadline = 0.0  # so that the wheel drops the seat when it next comes to it
        return fd


class Newcomers:
    """The subscribers of one channel that have not entered it yet."""

    __slots__ = ("behind", "waiting")

    def __init__(self) -> None:
        self.waiting: dict[Entry, None] = {}  # until the channel is open
        self.behind: dict[Seat, None] = {}  # seats that are given what they missed, before they are attached


class Channel(ChannelLog):
    """A channel of this edge and its subscribers; it lingers for a while after the last of them is gone."""

    __slots__ = ("deadline", "fresh", "job", "newcomers", "pollers_away", "seats", "sent_at", "tick")

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.fresh: list[Item] | tuple[()] = EMPTY  # collected for the next job
        self.seats: dict[Seat, None] | tuple[Seat] | tuple[()] = ()  # a tuple up to one: a dict costs 170 bytes more
        self.job: Job | None = None  # its items that are being written now
        self.newcomers: Newcomers | None = None  # None if there are none
        self.sent_at = 0.0  # when its last job began: a heartbeat is due a period after that
        self.pollers_away: AwayPollers | None = None  # pollers between two polls
        self.deadline = 0.0  # of its linger, in seconds
        self.tick = 0  # the wheel's

    @property
    def is_occupied(self) -> bool:
        """Whether a subscriber is attached, waits, or is behind here."""
        return bool(self.seats) or self.newcomers is not None

    @property
    def waiting(self) -> Collection["Entry"]:
        """The entries that wait until the channel is open, in the order of their arrival."""
        return self.newcomers.waiting if self.newcomers is not None else ()

    @property
    def behind(self) -> Collection[Seat]:
        """The seats that are behind here."""
        return self.newcomers.behind if self.newcomers is not None else ()

    @property
    def is_unused(self) -> bool:
        """Whether this edge knows of no message that the channel ever carried."""
        return not (self.sent_at or self.fresh or self.bare_count or (self.last is not None and self.last.offset))

    @property
    def delivered_position(self) -> str:
        """The position of a seat to which all that is on its way is sent (F5)."""
        return self.job.cursor if self.job is not None else self.cursor

    @property
    def is_open(self) -> bool:
        """Whether a subscriber may enter (H1, H3)."""
        return self.state is LIVE and not self.fresh

    def add(self, seat: Seat) -> None:
        """Attach a seat."""
        if isinstance(self.seats, dict):
            self.seats[seat] = None
        else:
            self.seats = {self.seats[0]: None, seat: None} if self.seats else (seat,)

    def fall_behind(self, seat: Seat) -> None:
        """Count a seat as a subscriber that is given what it missed, and nothing else, until `catch_up`."""
        self._make_newcomers().behind[seat] = None

    def catch_up(self, seat: Seat) -> None:
        """A seat is behind no longer."""
        if self.newcomers is not None:
            self.newcomers.behind.pop(seat, None)
            self._drop_newcomers(self.newcomers)

    def discard(self, seat: Seat) -> None:
        """Detach a seat, if it is attached."""
        if isinstance(self.seats, dict):
            self.seats.pop(seat, None)
        elif seat in self.seats:
            self.seats = ()

    def let_wait(self, entry: "Entry") -> None:
        """Keep an entry until the channel is open."""
        self._make_newcomers().waiting[entry] = None

    def stop_waiting(self, entry: "Entry") -> None:
        """Drop an entry, if it waits here."""
        if self.newcomers is not None:
            self.newcomers.waiting.pop(entry, None)
            self._drop_newcomers(self.newcomers)

    def _make_newcomers(self) -> Newcomers:
        if self.newcomers is None:
            self.newcomers = Newcomers()
        return self.newcomers

    def _drop_newcomers(self, newcomers: Newcomers) -> None:
        if not newcomers.waiting and not newcomers.behind:
            self.newcomers = None

    def subscribers(self, now: float) -> int:
        """Return how many subscribers are connected: attached, behind, or pollers that are expected back."""
        away = self.pollers_away.count(now) if self.pollers_away is not None else 0
        return len(self.seats) + len(self.behind) + away

    def reached(self, message: Message, now: float) -> int:
        """Return how many subscribers get a message here: none gets one from before `start` that arrives late."""
        return 0 if 0 < message.offset <= self.start else self.subscribers(now)

    def poller_left(self, now: float, until: float) -> tuple[Departed, ...]:
        """Count a poller that is answered as connected until then (seconds); return the count, by itself."""
        away = self.pollers_away
        if away is None:
            away = self.pollers_away = AwayPollers(self.name)
        last = self.last if self.job is None else self.job.last
        return away.add(now, until, last.tag if last is not None else 0)


class Entry:
    """One channel that a pending subscriber enters, and from which position it goes on there."""

    __slots__ = ("at", "channel", "history", "pending", "since")

    def __init__(self, pending: "PendingAttach", channel: Channel, since: Position | None, history: int) -> None:
        self.pending = pending
        self.channel = channel
        self.since = since  # the position that it asked for; None: from now on
        self.history = history  # without a position it begins with this many of the newest messages
        self.at: Position | None = None  # the position from which it goes on, once it has entered


class Pending:
    """What a seat waits for before its request can be answered."""

    __slots__ = ("framing", "seat")

    def __init__(self, seat: Seat, framing: Framing) -> None:
        self.seat = seat
        self.framing = framing

    @property
    def is_alive(self) -> bool:
        """Whether the seat still waits for this."""
        return self.seat.pending is self


class PendingAttach(Pending):
    """A subscriber on its way into its channels, with the items from those that it has entered before the others."""

    __slots__ = ("batch", "behind", "bundle", "entries", "is_refused", "items", "missing", "request", "room")

    catches_up: ClassVar[bool] = False  # its positions are proven, and it is given what it missed piece by piece

    def __init__(self, seat: Seat, request: SubscribeRequest, framing: Framing) -> None:
        super().__init__(seat, framing)
        self.request = request
        self.entries: Sequence[Entry] = EMPTY
        self.items: list[Item] = []
        self.bundle: Bundle | None = None  # the same items, if others may get the same
        self.missing = 0  # channels that it has not entered yet
        self.is_refused = False  # it is ready to be told that Redis has no room for one of its channels
        self.behind: list[Behind] | tuple[()] = EMPTY  # channels that it enters later
        self.batch: Batch | None = None  # what a poll that was behind is answered with
        self.room = PIECE_BYTES  # for messages from rings, the rest comes later

    def enter_all(self, channels: Sequence[Channel]) -> Sequence[Entry]:
        """Make an entry for each channel and return them."""
        request, self.missing = self.request, len(channels)
        if request.since is None:
            self.entries = [Entry(self, channel, None, request.history) for channel in channels]
        else:
            starts = zip(channels, request.since, strict=True)
            self.entries = [Entry(self, channel, at, request.history) for channel, at in starts]
        return self.entries

    @property
    def positions(self) -> list[Position | None]:
        """The positions from which the subscriber goes on, one for each channel, once it is ready."""
        return self.batch.starts if self.batch is not None else [entry.at for entry in self.entries]

    def takes(self, channel: Channel, tail: Sequence[Message]) -> bool:
        """Take room for the newest messages of a channel's ring; return False if they do not fit."""
        size = sum(map(size_of, tail))
        if size > self.room and (len(tail) > 1 or self.room < PIECE_BYTES):
            return False
        self.room = max(self.room - size, 0)
        return True

    def admit(self, entry: Entry, enter: Callable[[Entry], None]) -> None:
        """The channel of an entry that waited for it is open: let the subscriber enter."""
        enter(entry)

    def fall_behind(self, entry: Entry, since: Position) -> None:
        """The subscriber is at a proven position, with much to be read: it does not enter the channel now."""
        entry.at = since
        entry.channel.fall_behind(self.seat)
        self.behind = [*self.behind, Behind(entry.channel, since)]
        self.entered(entry)

    def entered(self, entry: Entry) -> None:
        """The subscriber has entered one more channel; after the last one it is ready."""
        self.missing -= 1
        if self.missing == 0:
            self.ready()
            self.forget_entries()

    def refuse(self) -> None:
        """Redis has no room for one of the channels."""
        self.is_refused = True
        self.ready()

    def detached(self) -> None:
        """The seat waits for nothing any more."""
        self.forget_entries()

    def forget_entries(self) -> None:
        """Drop the entries, which point back here: a circle stays in memory until a full garbage collection."""
        self.entries = EMPTY

    def ready(self) -> None:
        """Begin the subscriber's answer."""
        raise NotImplementedError


class Behind(NamedTuple):
    """A channel that a subscriber has not entered, and its position there."""

    channel: Channel
    at: Position


class Job(Bundle):
    """The items of one channel on their way to its seats."""

    __slots__ = ("channel", "done_for", "last", "next", "number", "seats")

    def __init__(self, channel: Channel, items: list[Item], number: int) -> None:
        super().__init__(items, channel.cursor)  # what a poller sends back after these items
        self.channel = channel
        self.last = channel.last
        self.number = number
        self.seats = list(channel.seats)
        self.next = 0  # index of the first seat that the job has not come to
        self.done_for: set[Seat] = set()  # seats that the job passes by, though they may be on its list

    def owes(self, seat: Seat) -> bool:
        """Say whether a seat of several channels still has to get this job's messages (F6)."""
        return seat.attached_at_job < self.number and seat not in self.done_for
