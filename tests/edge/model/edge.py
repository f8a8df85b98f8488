"""A small world to try the hub in: a Redis of plain Python, edges whose network the test controls, and clients that
check every message they get against what was really published.

The Redis keeps one total order per channel, as the real one does, and runs what the Lua scripts do. Each edge has one
subscribe connection: a queue from which the test delivers, drops or repeats frames; and reads of the log that are
executed at one step and answered at a later one.
"""

import pickle
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from functools import partial
from io import BytesIO
from itertools import count
from typing import Any

from common.message import Message, encode_frame
from common.names import RedisNames
from common.position import Position, named_positions, parse_named_positions
from common.rpc.client import Replies
from common.scripts.results import Adopted, AdoptionState, Bare, SyncQuery, SyncResult
from edge.channels.sync import SyncRequest
from edge.counters import CloseReason, Counters
from edge.framing.base import Framing
from edge.framing.http import Variant
from edge.framing.items import Item, stamp, welcome_item
from edge.protocol.operations import Op, Operation
from edge.protocol.subscribe import SubscribeRequest
from edge.state import Seat
from edge.subscribers.lifecycle import positions_at
from edge.subscribers.pending import PendingSubscribe
from edge.wiring import Options, Outside
from edge.wiring import wire as wire_edge

NAMES = RedisNames("comet:")
RECENT_JOINS, RECENT_EPOCHS = 32, 256


class Log:
    """What Redis keeps of one channel; nothing at first, and again after a wipe."""

    def __init__(self) -> None:
        self.top: Position | None = None
        self.entries: list[Message] = []
        self.epoch: int | None = None
        self.sealed = self.unknown = 0
        self.stored: dict[int, int] = {}  # how many bare messages of each epoch
        self.gaps: set[tuple[int, int]] = set()
        self.joined_at: dict[int, int] = {}


class Redis:
    """The log of each channel, and who is subscribed. Does what the Lua scripts do; a test compares the two."""

    def __init__(self, history: int = 20) -> None:
        self.logs: dict[str, Log] = {}
        self.ever: dict[tuple[str, Position], int] = {}  # every message that ever was -> its predecessor's tag
        self.subscribers: dict[str, list[Wire]] = {}
        self.history = history
        self.microseconds = 1_800_000_000_000_000
        self.newest_epochs: dict[str, int] = {}  # that were ever begun
        self.used_twice = False  # an epoch

    def pass_time(self, seconds: float) -> None:
        self.microseconds += round(seconds * 1e6)

    def log(self, name: str) -> Log:
        """Return a channel's log, with its genesis if it is new."""
        log = self.logs.setdefault(name, Log())
        if log.top is None:
            log.top, log.entries = Position(0, self._tag_after(None)), []
        return log

    def top(self, name: str) -> Position:
        top = self.log(name).top
        assert top is not None
        return top

    def send(self, name: str, payload: bytes) -> None:
        for wire in self.subscribers.get(name, []):
            wire.queue.append(("message", name, payload))

    def publish(self, name: str, payload: bytes) -> Position:
        """Do what publish.lua does."""
        self._tick()
        return self._append(name, payload)

    def sync(self, wanted: SyncQuery) -> SyncResult:
        """Do what sync.lua does for one channel."""
        self._tick()
        log = self.logs.setdefault(wanted.channel, Log())
        epoch = self._join(wanted.channel, log, wanted.known) if wanted.known is not None else 0
        top = self.top(wanted.channel)
        entries = [] if wanted.offset is None else [each for each in log.entries if each.offset > wanted.offset]
        return SyncResult(top, entries, epoch)

    def adopt(self, name: str, first_epoch: int, messages: Sequence[Bare]) -> Adopted:
        """Do what adopt.lua does."""
        self._tick()
        log = self.logs.setdefault(name, Log())
        for done, (epoch, number, payload) in enumerate(messages):
            if self._must_wait(log, first_epoch):
                return Adopted(done, AdoptionState.WAIT)
            if epoch > (log.epoch or 0):
                log.epoch = log.unknown = self._unused_after(epoch)
            stored = self._stored_before(log, epoch, number)
            if stored is None or (number <= stored and (epoch, number) in log.gaps):
                return Adopted(done, AdoptionState.SKIPPED)
            if number > stored:
                self._append(name, payload)
                log.stored[epoch] = number
                if epoch > log.unknown:
                    log.gaps |= {(epoch, skipped) for skipped in range(stored + 1, number)}
            log.sealed = max(log.sealed, epoch - 1)
        return Adopted(len(messages), AdoptionState.DONE)

    def _tick(self) -> None:
        """Each script runs a little later than the one before."""
        self.microseconds += 1

    def _tag_after(self, newest: int | None) -> int:
        return max(self.microseconds, (newest or 0) + 1)

    def _append(self, name: str, payload: bytes) -> Position:
        log = self.logs.setdefault(name, Log())
        tag = self._tag_after(log.top.tag if log.top else None)
        offset, prev = log.top or Position(0, tag - 1)
        if log.top is None:
            log.entries = []
        message = Message(payload, offset + 1, tag, prev)
        log.top = Position(message.offset, message.tag)
        log.entries = [*log.entries, message][-self.history :]
        self.ever[name, log.top] = message.prev
        self.send(name, encode_frame(message))
        return log.top

    def _join(self, name: str, log: Log, known: int) -> int:
        joined = self.microseconds // 1000
        if log.epoch is None or log.epoch < known:
            log.epoch = log.unknown = self._unused_after(known)
            joined -= 400
            log.sealed = log.epoch - 1
        log.epoch += 1
        if log.epoch - RECENT_JOINS > log.unknown:
            forgotten = log.epoch - RECENT_EPOCHS
            log.joined_at.pop(log.epoch - RECENT_JOINS, None)
            log.stored.pop(forgotten, None)
            log.gaps = {(epoch, number) for epoch, number in log.gaps if epoch != forgotten}
        if len(self.subscribers.get(name, [])) <= 1:
            log.sealed = log.epoch - 1
        else:
            log.joined_at[log.epoch] = joined
        self.used_twice |= log.epoch <= self.newest_epochs.get(name, 0)
        self.newest_epochs[name] = max(log.epoch, self.newest_epochs.get(name, 0))
        self.send(name, b"\x01J1 %d" % log.epoch)
        return log.epoch

    def _unused_after(self, epoch: int) -> int:
        milliseconds, rest = divmod(self.microseconds, 1000)
        return milliseconds if milliseconds > epoch else epoch + 1000 + rest

    def _must_wait(self, log: Log, first_epoch: int) -> bool:
        between = first_epoch - 1 - log.sealed
        joined = log.joined_at.get(first_epoch) if between > 0 else None
        return joined is not None and 0 <= self.microseconds // 1000 - joined < 400 + 100 * min(between, 10)

    def _stored_before(self, log: Log, epoch: int, number: int) -> int | None:
        assert log.epoch is not None
        if epoch in log.stored:
            return log.stored[epoch]
        if epoch <= log.unknown:
            return number - 1
        return 0 if epoch > log.epoch - RECENT_EPOCHS else None

    def wipe(self) -> None:
        """Lose everything, as a restart without persistence does, or an eviction."""
        self.logs.clear()
        self.pass_time(0.1)

    def snapshot(self) -> dict[str, Log]:
        return deepcopy(self.logs)

    def restore(self, snapshot: dict[str, Log]) -> None:
        """Go back to an older state, as a failover to a lagging replica does."""
        self.logs = deepcopy(snapshot)


class Wire:
    """An edge's subscribe connection: what Redis sent and the edge has not read yet."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.queue: deque[tuple[Any, ...]] = deque()

    def subscribe(self, name: str, attempt: int) -> None:
        listeners = self.redis.subscribers.setdefault(name, [])
        if self not in listeners:
            listeners.append(self)
        self.queue.append(("ack", name, attempt))

    def unsubscribe(self, name: str) -> None:
        listeners = self.redis.subscribers.get(name, [])
        if self in listeners:
            listeners.remove(self)

    def cut(self) -> None:
        for listeners in self.redis.subscribers.values():
            if self in listeners:
                listeners.remove(self)


class PlainFraming(Framing):
    """Hands items on as they are, so that a client sees objects and not bytes."""

    content_type = ""

    def __init__(self, transport: str, *, cursor_in_bytes: bool) -> None:
        super().__init__(Variant())
        self.__dict__["transport"] = transport
        self.__dict__["single_response"] = transport == "poll"
        self.__dict__["cursor_in_bytes"] = cursor_in_bytes

    def encode(self, items: Sequence[Item], cursor: str) -> bytes:
        return pickle.dumps((list(items), cursor))


STREAM = PlainFraming("stream", cursor_in_bytes=False)
EVENTS = PlainFraming("sse", cursor_in_bytes=True)
POLL = PlainFraming("poll", cursor_in_bytes=True)


class RecordingSeats:
    """Stands in for `Seats`: everything written goes to the seat's client."""

    def __init__(self) -> None:
        self.clients: dict[Seat, Client] = {}
        self.on_detach: Callable[[Seat], None]

    def broadcast(
        self, seats: Sequence[Seat], encode: Callable[[Framing], bytes], messages: int, job_number: int
    ) -> list[Seat]:
        return list(seats)

    def is_choked(self, seat: Seat) -> bool:
        return False

    def get(self, fd: int) -> Seat | None:
        return None

    def generation(self, fd: int) -> int:
        return 1

    def write(self, seat: Seat, data: bytes) -> None:
        stream = BytesIO(data)
        while stream.tell() < len(data):
            self.clients[seat].receive(*pickle.load(stream))

    def detach(self, seat: Seat, reason: CloseReason) -> None:
        self.on_detach(seat)
        seat.detach()


class StrictLog:
    """Lets nothing be swallowed: what the edge would log and survive ends the test."""

    def exception(self, *args: object, **context: object) -> None:
        raise  # noqa: PLE0704  # called while an exception is handled


class Client:
    """A subscriber that checks: each message follows the one before, or a reset stands between (I4, I6).

    Its channels may change while it is seated: then a message comes only between a welcome and the acknowledgement of
    the `unsub`. If it is an event source, each event's id must say where it stands on all of its channels.
    """

    def __init__(self, redis: Redis, channels: tuple[str, ...], framing: "PlainFraming") -> None:
        self.redis = redis
        self.channels = channels  # those it has, or asks for when it comes
        self.framing = framing
        self.polls = framing is POLL
        self.at: dict[str, Position] = {}  # where it stands on each channel it was welcomed to
        self.left: dict[str, Position] = {}  # where it stood when it gave a channel up
        self.asked: dict[str, Position | None] = {}  # what it waits for, and from where it goes on
        self.got: dict[str, list[str]] = {name: [] for name in channels}
        self.resets = 0
        self.cursor = ""
        self.named = False
        self.seat: Seat | None = None
        self.edge: Edge | None = None
        self._owed_a_reset: set[str] = set()

    def receive(self, items: list[Item], cursor: str) -> None:
        for item in items:
            getattr(self, f"_on_{item.kind}")(item)
            if self.framing is EVENTS and item.seq:
                self._check_cursor(item.cursor)
        if self.polls:
            self._check_cursor(cursor)
            self.cursor = cursor
            self.channels = tuple(self.at)

    def _check_cursor(self, cursor: str) -> None:
        self.named = "=" in cursor
        names = parse_named_positions(cursor) if self.named else self.channels
        stands = {name: str(self.at[name]) for name in names}
        assert set(stands) == set(self.at), "a cursor that leaves a channel out"
        assert cursor == (named_positions(stands) if self.named else ",".join(stands.values())), "from elsewhere"

    def on_welcome(self, item: Item) -> None:
        """It is welcomed at the position it went on from, or a reset must follow."""
        start, name = _position(item.seq), item.channel
        known = self.asked.pop(name, None) or self.at.get(name)
        if known is not None and start != known:
            self._owed_a_reset.add(name)
        self.at[name] = start
        if name not in self.channels:
            self.channels += (name,)

    _on_welcome = on_welcome

    def _on_unsub(self, item: Item) -> None:
        self.asked.pop(item.channel, None)
        if item.channel in self.at:
            self.left[item.channel] = self.at.pop(item.channel)
        self.channels = tuple(name for name in self.channels if name != item.channel)

    def _on_error(self, item: Item) -> None:
        assert item.code in {409, 503}
        assert item.channel not in self.at
        self.asked.pop(item.channel, None)

    def _on_data(self, item: Item) -> None:
        assert item.channel in self.at, f"a message of {item.channel}, where it is not welcome"
        assert item.channel not in self._owed_a_reset, "welcomed from elsewhere without a reset"
        self.got.setdefault(item.channel, []).append(item.content or "")
        if not item.seq:
            return
        position, before = _position(item.seq), self.at[item.channel]
        prev = self.redis.ever[item.channel, position]
        assert (position.offset, prev) == (before.offset + 1, before.tag), f"{position} does not follow {before}"
        self.at[item.channel] = position

    def _on_reset(self, item: Item) -> None:
        self.resets += 1
        self._owed_a_reset.discard(item.channel)
        self.at[item.channel] = _position(item.seq)

    @property
    def is_whole(self) -> bool:
        """Whether it was told of everything it was owed."""
        return not self._owed_a_reset


def _position(seq: str) -> Position:
    offset, _, tag = seq.partition("-")
    return Position(int(offset), int(tag))


class Edge:
    """A hub with everything around it that a test can steer."""

    def __init__(self, redis: Redis, *, adopts: bool = False, sleep: Any = None) -> None:
        self.redis = redis
        self.now = 0.0
        self.wire: Wire | None = None
        self.requests: list[SyncRequest] = []  # asked, not executed
        self.replies: list[tuple[SyncRequest, SyncResult]] = []  # executed, not answered
        self.seats = RecordingSeats()
        self.counters = Counters()
        self.later: list[Callable[[], None]] = []  # what the fan-out left for another turn
        outside = Outside(
            names=NAMES,
            pubsub=self,
            reader=self,
            ask=_ask_no_edge,
            send_receipt=lambda inbox, subscribers: None,
            clock=self.clock,
            call_soon=lambda action, channel: self.do_later(0, partial(action, channel)),
            call_later=self.do_later,
            adopt=self.adopt if adopts else None,
            adopt_sleep=sleep,
        )
        options = Options(
            heartbeat=25,
            poll_timeout=25,
            linger=30,
            header_timeout=10,
            max_connections=1000,
            max_message_bytes=1000,
        )
        parts = wire_edge("edge", self.seats, self.counters, outside, options)  # type: ignore[arg-type]
        self.hub, self.fanout, self.adopter, self.changes = parts.hub, parts.fanout, parts.adopter, parts.changes
        self.fanout._log = StrictLog()  # type: ignore[assignment]
        self.fanout.on_answered = lambda seat: None

    def clock(self) -> float:
        return self.now

    # What the hub uses: the bus, and the synchronizer.

    def subscribe(self, name: bytes, attempt: int) -> None:
        if self.wire is not None:
            self.wire.subscribe(NAMES.name_of(name), attempt)

    def unsubscribe(self, name: bytes) -> None:
        if self.wire is not None:
            self.wire.unsubscribe(NAMES.name_of(name))

    def ask(self, request: SyncRequest) -> None:
        self.requests.append(request)

    def forget(self) -> None:
        self.requests.clear()

    async def adopt(self, name: str, first_epoch: int, messages: Sequence[Bare]) -> Adopted:
        return self.redis.adopt(name, first_epoch, messages)

    def on_ready(self, pending: PendingSubscribe) -> None:
        """Do what the lifecycle does when all channels are ready, without bytes."""
        self._hold(pending.seat, pending.request, pending.framing, pending.positions, pending.items)

    def _hold(
        self,
        seat: Seat,
        request: SubscribeRequest,
        framing: Framing,
        positions: Sequence[Position | None],
        items: list[Item],
    ) -> None:
        client = self.seats.clients[seat]
        spans_channels = len(positions) > 1 or request.has_channel_names
        seat.hold(framing, positions_at(request, positions) if spans_channels and framing.cursor_in_bytes else None)
        starts = dict(zip(request.channels, positions, strict=True))
        if client.polls:
            for name, start in starts.items():
                assert start is not None
                client.at.setdefault(name, start)
            if items:
                self.fanout.deliver(seat, items)
            return
        for name, start in starts.items():
            client.on_welcome(welcome_item(name, str(start), session=""))
        client.receive(stamp(items, seat.positions), "")

    # What the test does to it.

    def connect(self) -> None:
        if self.wire is None:
            self.wire = Wire(self.redis)
            self.hub.on_up()

    def disconnect(self) -> None:
        """Lose the connection and everything on it; reads that Redis executed may still be answered."""
        if self.wire is not None:
            self.wire.cut()
            self.wire = None
            self.hub.on_down()

    def deliver(self, most: int, *, lose: bool = False, repeat: bool = False) -> None:
        """Read some frames from the connection in one go."""
        for _ in range(min(most, len(self.wire.queue) if self.wire else 0)):
            assert self.wire is not None
            kind, name, value = self.wire.queue.popleft()
            if kind == "ack":
                self.hub.on_subscribed(NAMES.channel(name), value)
            elif not (lose and _is_message(value)):
                for _ in range(2 if repeat and _is_message(value) else 1):
                    self.hub.on_message(NAMES.channel(name), value)
        self.hub.on_read_end()

    def do_later(self, seconds: float, action: Callable[[], None]) -> None:
        self.later.append(action)

    def pass_turn(self) -> None:
        """Let the fan-out go on with what did not fit into its slice."""
        later, self.later = self.later, []
        for action in later:
            action()

    def execute_reads(self) -> None:
        requests, self.requests = self.requests, []
        self.replies += [(request, self.redis.sync(request.query)) for request in requests]

    def answer_reads(self) -> None:
        replies, self.replies = self.replies, []
        for request, synced in replies:
            request.done(synced)

    def attach(self, client: Client) -> None:
        """Let a client subscribe here, from where it stands."""
        client.asked.clear()
        request = SubscribeRequest("", client.channels, since=self._since(client), has_channel_names=client.named)
        seat = client.seat = client.seat or Seat(next(_FDS))
        client.edge = self
        self.seats.clients[seat] = client
        channel = self.hub.attach_at_once(seat, request)
        if channel is not None:
            self._hold(seat, request, client.framing, (channel.last,), [])
        else:
            self.hub.attach(PendingSubscribe(seat, request, client.framing, self.on_ready))

    def _since(self, client: Client) -> tuple[Position, ...] | None:
        if len(client.at) == len(client.channels):
            return tuple(client.at[name] for name in client.channels)
        return None

    def change(self, client: Client, op: str, name: str, *, from_where_it_left: bool) -> None:
        """Let a seated client change its channels."""
        seat = client.seat
        if seat is None or seat.framing is None:
            return
        since = client.left.get(name) if from_where_it_left else None
        if op == "sub" and name not in client.at:
            since = client.asked.setdefault(name, since)
        elif client.polls and len(client.at) == 1:
            return  # what has no channel left does not poll
        self.changes.change(seat, [Operation(Op(op), name, (since, 0))], lambda channels: None)

    def pass_time(self) -> None:
        """Let who waits for a channel give up."""
        self.now += 4
        self.changes.wheel.advance(self.now)

    def time_out(self, client: Client) -> None:
        """Answer a waiting poll with nothing."""
        seat = client.seat
        if seat is not None and seat.framing is POLL and not self.fanout.is_busy(seat):
            self.fanout.deliver(seat, [])

    def detach(self, client: Client) -> None:
        if client.seat is not None:
            self.seats.detach(client.seat, CloseReason.CLIENT)
            del self.seats.clients[client.seat]
        client.seat = client.edge = None

    def audit(self) -> None:
        """Do what the auditor does, with both looks at once."""
        for name, channel in list(self.hub.channels.items()):
            if channel.is_live and self.redis.top(name) != channel.last:
                self.hub.repair(channel)


_FDS = count(10)


def _is_message(payload: bytes) -> bool:
    """Join frames are not lost one by one: what is lost of a connection's order is modelled on messages."""
    return not payload.startswith(b"\x01J1 ")


async def _ask_no_edge(edge: str | None, op: str, fields: Mapping[str, object], patience: float) -> Replies:
    return Replies([], 0)
