"""The records that point at each other: a seat, the channels it is in, what it waits for, and a job of the fan-out.

They are one data structure, so they stand in one file; the code that works on them stands on the floors above. A seat
is one connection: a descriptor and a few slots. Its phase changes by the methods here and nowhere else:

P1  IDLE     between two requests: bytes are the next request.
    WAITING  a request is being answered that takes time; `pending` says what for.
    HELD     a subscriber; `framing` says how to talk to it.
    ENDING   this side is done: only unsent bytes and the peer's close are outstanding.
    DEAD     the descriptor is closed; a seat never leaves this phase (S3).
P2  A seat is on the fast path if and only if it is HELD on one channel, takes that channel's shared bytes as they are,
    and nothing waits to be sent to it. `refresh_fast_path` is the one place that says so.
"""

from collections.abc import Sequence
from enum import IntEnum

from common.message import Message
from common.position import Position, Positions
from edge.chain import EMPTY
from edge.channel_log import LIVE, ChannelLog
from edge.framing.base import Framing
from edge.framing.items import Item
from edge.pollers import AwayPollers
from edge.protocol.subscribe import SubscribeRequest

NEVER = float("inf")


class Phase(IntEnum):
    """What a connection is busy with (P1)."""

    IDLE = 0
    WAITING = 1
    HELD = 2
    ENDING = 3
    DEAD = 4


# Members by their own names: an attribute of an Enum costs five times as much as a global, and this is per request.
IDLE, WAITING, HELD, ENDING, DEAD = Phase


class Seat:
    """One connection, from its acceptance to its end."""

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
        self.positions: Positions | None = None  # if its bytes depend on where it stands on several channels
        self.attached_at_job = 0  # how many fan-out jobs had begun when it was attached
        self.shares_bytes = False  # takes its one channel's shared bytes as they are
        self.fast_path = False  # P2
        self.recv_buffer = b""  # received, not yet served
        self.send_buffer: bytearray | None = None  # given to us, not yet taken by the kernel
        self.expires = NEVER  # when its connection is old enough to be closed, at its next deadline
        self.deadline = 0.0
        self.tick = 0

    @property
    def cursor(self) -> str:
        """What the client sends back to go on after everything it was given."""
        if self.positions is not None:
            return self.positions.cursor
        return self.channels[0].cursor if self.channels else ""

    @property
    def delivered_positions(self) -> Positions | dict[str, str]:
        """Where it stands on each channel when it has been given all that is on its way to it."""
        return self.positions or {channel.name: channel.delivered_position for channel in self.channels}

    def receive(self, data: bytes) -> None:
        """Keep bytes behind those that are not served yet."""
        self.recv_buffer += data

    def keep(self, rest: bytes) -> None:
        """Keep only these bytes; those before them are served."""
        self.recv_buffer = rest

    def attach(self, channels: "tuple[Channel, ...]", jobs_begun: int, pending: "Pending | None" = None) -> None:
        """Belong to some channels, from the job after `jobs_begun` on (F2); `pending` is what the answer waits for."""
        self.channels, self.attached_at_job = channels, jobs_begun
        if pending is not None:
            self.phase, self.pending = WAITING, pending

    def wait(self, pending: "Pending") -> None:
        """Answer later: when `pending` is done."""
        self.phase, self.pending = WAITING, pending

    def hold(self, framing: Framing, positions: Positions | None) -> None:
        """Be a subscriber from now on."""
        self.phase, self.pending, self.framing, self.positions = HELD, None, framing, positions
        if not framing.single_response:
            self.refresh_fast_path()

    def refresh_fast_path(self) -> None:
        """Decide again whether shared bytes may go straight to the descriptor (P2)."""
        framing = self.framing
        self.shares_bytes = (
            framing is not None and not framing.single_response and self.positions is None and len(self.channels) == 1
        )
        self.fast_path = self.shares_bytes and self.send_buffer is None

    def detach(self) -> None:
        """Belong to no channel and wait for nothing; the connection stays, for another request or for its end."""
        self.channels = ()
        self.framing = self.pending = self.positions = None
        self.shares_bytes = self.fast_path = False
        if self.phase < ENDING:
            self.phase = IDLE

    def end(self) -> None:
        """Listen to the client no more."""
        self.phase, self.recv_buffer = ENDING, b""

    def die(self) -> int:
        """Forget the descriptor, which is closed next, and return it."""
        fd, self.fd, self.phase = self.fd, -1, DEAD
        self.deadline = 0.0  # so that the wheel lets go of it at its next look
        return fd


class Channel(ChannelLog):
    """A channel of this edge and its subscribers; it lingers for a while after the last of them has left."""

    __slots__ = ("deadline", "fresh", "job", "pollers_away", "seats", "sent_at", "tick", "waiting")

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.fresh: list[Item] | tuple[()] = EMPTY  # items taken in this turn, not yet written to any seat
        self.seats: dict[Seat, None] | tuple[Seat] | tuple[()] = ()  # a tuple up to one: a dict costs 170 bytes more
        self.job: Job | None = None  # its messages that are being written now
        self.waiting: dict[Entry, None] | None = None  # what waits until the channel is LIVE
        self.sent_at = 0.0  # when data last came for the seats
        self.pollers_away: AwayPollers | None = None  # pollers between two polls
        self.deadline = 0.0
        self.tick = 0

    @property
    def is_occupied(self) -> bool:
        """Whether a subscriber listens here or waits to."""
        return bool(self.seats or self.waiting)

    @property
    def is_open(self) -> bool:
        """Whether subscribers may join now: nothing is missing, and nothing was taken that is not on its way (H3)."""
        return self.state is LIVE and not self.fresh

    @property
    def delivered_position(self) -> str:
        """The position of a seat that was given all that is on its way now (F5)."""
        return self.job.cursor if self.job is not None else self.cursor

    def is_open_at(self, since: Position | None) -> bool:
        """Say whether a subscriber that goes on from `since` (None: from now on) misses nothing if it joins now."""
        return self.state is LIVE and not self.fresh and (since is None or since == self.last)

    def add(self, seat: Seat) -> None:
        """Let a seat listen."""
        if isinstance(self.seats, dict):
            self.seats[seat] = None
        else:
            self.seats = {self.seats[0]: None, seat: None} if self.seats else (seat,)

    def discard(self, seat: Seat) -> None:
        """Take a seat away, if it is here."""
        if isinstance(self.seats, dict):
            self.seats.pop(seat, None)
        elif seat in self.seats:
            self.seats = ()

    def let_wait(self, entry: "Entry") -> None:
        """Keep an entry until the channel is open."""
        if self.waiting is None:
            self.waiting = {}
        self.waiting[entry] = None

    def stop_waiting(self, entry: "Entry") -> None:
        """Forget an entry, if it waits here."""
        if self.waiting is not None:
            self.waiting.pop(entry, None)

    def subscribers(self, now: float) -> int:
        """Count the connected: held connections, and pollers that are expected back."""
        return len(self.seats) + (self.pollers_away.count(now) if self.pollers_away is not None else 0)

    def reached(self, message: Message, now: float) -> int:
        """Count the subscribers that get a message here; one that comes late, from before the start, reaches none."""
        return 0 if 0 < message.offset <= self.start else self.subscribers(now)

    def poller_left(self, now: float, until: float) -> None:
        """A poll was answered; its client counts as connected until it is overdue."""
        if self.pollers_away is None:
            self.pollers_away = AwayPollers()
        self.pollers_away.add(now, until)

    def poller_came_back(self) -> None:
        """A poll came that goes on from an earlier one."""
        if self.pollers_away is not None:
            self.pollers_away.take_one()


class Entry:
    """One channel that a pending subscriber enters: where it begins, and where it then stands."""

    __slots__ = ("at", "channel", "history", "pending", "since")

    def __init__(self, pending: "PendingAttach", channel: Channel, since: Position | None, history: int) -> None:
        self.pending = pending
        self.channel = channel
        self.since = since  # it goes on after this
        self.history = history  # without that, it begins with so many of the newest messages
        self.at: Position | None = None  # from where it goes on, once it is in


class Pending:
    """What a seat's answer waits for."""

    __slots__ = ("framing", "seat")

    def __init__(self, seat: Seat, framing: Framing) -> None:
        self.seat = seat
        self.framing = framing

    @property
    def is_alive(self) -> bool:
        """Whether the seat still waits for this."""
        return self.seat.pending is self


class PendingAttach(Pending):
    """A subscriber on its way into its channels.

    A channel that is ready before the others already collects this subscriber's items here, so that none is missed
    while the rest catches up.
    """

    __slots__ = ("entries", "items", "missing", "request")

    def __init__(self, seat: Seat, request: SubscribeRequest, framing: Framing) -> None:
        self.seat = seat
        self.framing = framing
        self.request = request
        self.entries: Sequence[Entry] = EMPTY
        self.items: list[Item] = []
        self.missing = 0

    def enter_all(self, channels: Sequence[Channel]) -> Sequence[Entry]:
        """Return an entry for each channel; the subscriber is ready when all of them are in."""
        since, history = self.request.since, self.request.history
        self.missing = len(channels)
        entries: list[Entry] = []
        for channel in channels:
            entries.append(Entry(self, channel, since[len(entries)] if since is not None else None, history))
        self.entries = entries
        return entries

    @property
    def positions(self) -> list[Position | None]:
        """Where the subscriber stands on each of its channels, once it is ready."""
        return [entry.at for entry in self.entries]

    def entered(self) -> None:
        """One more channel is ready; after the last one, so is the subscriber."""
        self.missing -= 1
        if self.missing == 0:
            self.ready()
            self.forget_entries()

    def forget_entries(self) -> None:
        """Let go of the entries, which point back here: a circle would stay until a full garbage collection."""
        self.entries = EMPTY

    def ready(self) -> None:
        """All channels are ready: let the subscriber's answer begin."""
        raise NotImplementedError


class Job:
    """The items of one channel on their way to its seats."""

    __slots__ = ("channel", "cursor", "done_for", "encoded", "items", "next", "number", "seats")

    def __init__(self, channel: Channel, items: list[Item], number: int) -> None:
        self.channel = channel
        self.items = items
        self.number = number
        self.cursor = channel.cursor  # what a poller sends back after these items
        self.seats = list(channel.seats)
        self.next = 0
        self.encoded: dict[Framing, bytes] = {}
        self.done_for: set[Seat] = set()  # seats that need no more of it, though they may be on the list

    def owes(self, seat: Seat) -> bool:
        """Say whether a seat of several channels will still be written to."""
        return seat.attached_at_job < self.number and seat not in self.done_for

    def pass_by(self, seat: Seat) -> None:
        """Leave out a seat that entered the channel after the job began."""
        if seat.attached_at_job < self.number:
            self.done_for.add(seat)

    def note_if_written(self, seat: Seat) -> None:
        """Note of a seat that had one channel until now whether it was written to already."""
        if seat not in self.seats[self.next :]:
            self.done_for.add(seat)

    def encode(self, framing: Framing) -> bytes:
        """Return the items in one framing, made once."""
        data = self.encoded.get(framing)
        if data is None:
            data = self.encoded[framing] = framing.encode(self.items, self.cursor)
        return data
