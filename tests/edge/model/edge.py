"""Edges of the model: a hub with everything around it that a test can steer, reads of the log in two steps."""

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import count
from typing import Any

from common.position import Position
from common.rpc.client import Replies
from common.scripts.results import Adopted, Bare, SyncResult
from edge.channels.sync import SyncRequest
from edge.counters import CloseReason, Counters
from edge.engine.inbox import Inbox
from edge.framing.base import Framing
from edge.framing.items import Item, stamp, welcome_item
from edge.options import Options
from edge.parked import Parked
from edge.protocol.operations import Op, Operation
from edge.protocol.subscribe import SubscribeRequest
from edge.state import Seat
from edge.subscribers.pending import PendingSubscribe
from edge.wiring import Outside, wire
from tests.edge.model.client import POLL, ModelClient
from tests.edge.model.redis import NAMES, ModelConnection, ModelRedis
from tests.edge.names_in_memory import NamesInMemory

ENTRIES_OF_A_PIECE = 3


class SeatsWithoutSockets:
    """Stands in for `Seats`: everything written goes to the seat's client."""

    def __init__(self) -> None:
        self.clients: dict[Seat, ModelClient] = {}
        self.open = self.clients
        self.half_closed: set[Seat] = set()
        self.paused: set[Seat] = set()
        self.parked: tuple[()] = ()
        self.inbox = Inbox()
        self.on_detach: Callable[[Seat], None]
        self.on_flushed: Callable[[Seat], None]

    def broadcast(
        self, seats: Sequence[Seat], encode: Callable[[Framing], bytes], messages: int, job_number: int
    ) -> list[Seat]:
        return list(seats)

    def get(self, fd: int) -> Seat | None:
        return None

    def generation(self, fd: int) -> int:
        return 1

    def abort(self, seat: Seat, reason: CloseReason) -> None:
        raise AssertionError("there is a bug")

    def park(self, seat: Seat) -> None:
        """Let the client of a held seat read nothing for a while."""
        if seat.framing is not None and not seat.framing.single_response and seat.send_buffer is None:
            seat.send_buffer = Parked(0.0)

    def flush(self, seat: Seat) -> None:
        """Let it read again."""
        parked, seat.send_buffer = seat.send_buffer, None
        if parked is not None:
            self.write(seat, b"".join(parked.chunks))
            self.on_flushed(seat)

    def write(self, seat: Seat, data: bytes, more: Sequence[bytes] = ()) -> None:
        data = b"".join((data, *more))
        if seat.send_buffer is not None:
            if data:
                seat.send_buffer.append(data)
            return
        if data:
            self.clients[seat].read(data)

    def detach(self, seat: Seat, reason: CloseReason) -> None:
        self.on_detach(seat)
        seat.detach()


class Lane:
    """Reads of one kind: of the oldest `most` entries after an offset; asked, executed and answered with all others."""

    def __init__(self, edge: "ModelEdge", most: int) -> None:
        self._edge = edge
        self._most = most

    def ask(self, request: SyncRequest) -> None:
        self._edge.requests.append((request, self._most))

    def forget(self) -> None:
        """Drop what is not executed; what other lanes asked for is asked for all the same."""
        self._edge.requests = [(request, most) for request, most in self._edge.requests if most != self._most]


class RaisingLogger:
    """Lets nothing be swallowed: what the edge would log and survive ends the test."""

    def exception(self, *args: object, **context: object) -> None:
        raise  # noqa: PLE0704  # called while an exception is handled


class ModelEdge:
    """A hub with everything around it that a test can steer."""

    def __init__(self, redis: ModelRedis, *, adopts: bool = False, sleep: Any = None) -> None:
        self.redis = redis
        self.now = 0.0
        self.connection: ModelConnection | None = None
        self.requests: list[tuple[SyncRequest, int]] = []  # asked, not executed
        self.replies: list[tuple[SyncRequest, SyncResult]] = []  # executed, not answered
        self.seats = SeatsWithoutSockets()
        self.counters = Counters()
        self.later: list[Callable[[], None]] = []  # what the fan-out left for another turn
        outside = Outside(
            names=NAMES,
            pubsub=self,
            reader=Lane(self, sys.maxsize),
            starts=Lane(self, 1),
            pieces=Lane(self, ENTRIES_OF_A_PIECE),
            name_lists=NamesInMemory().lists(self.clock),
            ask=_ask_no_edge,
            send_receipt=lambda inbox, subscribers: None,
            clock=self.clock,
            call_soon=lambda action, *arguments: self.do_later(0, partial(action, *arguments)),
            call_later=self.do_later,
            release=redis.release,
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
        parts = wire("edge", self.seats, self.counters, outside, options)  # type: ignore[arg-type]
        self.hub, self.fanout, self.adopter, self.changes = parts.hub, parts.fanout, parts.adopter, parts.changes
        self.replays = parts.replays
        self.fanout._log = RaisingLogger()  # type: ignore[assignment]
        self.fanout.on_answered = lambda seat: None

    def clock(self) -> float:
        return self.now

    # What the hub uses: its subscriptions, and the log reader.

    def subscribe(self, name: bytes, attempt: int) -> None:
        if self.connection is not None:
            self.connection.subscribe(NAMES.name_of(name), attempt)

    def unsubscribe(self, name: bytes) -> None:
        if self.connection is not None:
            self.connection.unsubscribe(NAMES.name_of(name))
            self.connection.queue.append(("gone", NAMES.name_of(name), 0))

    async def adopt(self, name: str, first_epoch: int, messages: Sequence[Bare]) -> Adopted:
        return self.redis.adopt(name, first_epoch, messages)

    def on_ready(self, pending: PendingSubscribe) -> None:
        """Do what the lifecycle does when all channels are ready, without bytes."""
        if pending.behind and pending.batch is None and pending.framing.single_response:
            self.replays.collect(pending)
        else:
            self._hold(pending.seat, pending.request, pending.framing, pending.positions, pending.items, pending)

    def _hold(
        self,
        seat: Seat,
        request: SubscribeRequest,
        framing: Framing,
        positions: Sequence[Position | None],
        items: list[Item],
        pending: PendingSubscribe | None = None,
    ) -> None:
        client = self.seats.clients[seat]
        behind, batch = (pending.behind, pending.batch) if pending is not None else ((), None)
        spans_channels = len(positions) > 1 or request.has_channel_names or bool(behind)
        seat.hold(framing, request.positions_at(positions) if spans_channels and framing.cursor_in_bytes else None)
        starts = dict(zip(request.channels, positions, strict=True))
        if client.polls:
            for name, start in starts.items():
                assert start is not None
                client.at.setdefault(name, start)
            if batch is not None:
                batch.move(seat.positions)
            if batch is not None and (batch.count or items):
                self.fanout.deliver_batch(seat, batch, items)
            elif items:
                self.fanout.deliver(seat, items)
            return
        if behind:
            self.replays.hold(seat, framing, behind)
        for name, start in starts.items():
            client.on_welcome(welcome_item(name, str(start), session=""))
        client.receive(stamp(items, seat.positions), "")

    # What the test does to it.

    def connect(self) -> None:
        if self.connection is None:
            self.connection = ModelConnection(self.redis)
            self.hub.on_up()

    def disconnect(self) -> None:
        """Lose the connection and everything on it; reads that Redis executed may still be answered."""
        if self.connection is not None:
            self.connection.cut()
            self.connection = None
            self.hub.on_down()

    def deliver(self, most: int, *, lose: bool = False, repeat: bool = False) -> None:
        """Read some frames from the connection in one go."""
        for _ in range(min(most, len(self.connection.queue) if self.connection else 0)):
            assert self.connection is not None
            kind, name, value = self.connection.queue.popleft()
            if kind == "ack":
                self.hub.on_subscribed(NAMES.channel(name), value)
            elif kind == "gone":
                self.hub.on_unsubscribed(NAMES.channel(name))
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
        self.replies += [(one, self.redis.sync(one.query, most)) for one, most in requests if one.is_awaited()]

    def answer_reads(self) -> None:
        replies, self.replies = self.replies, []
        for request, synced in replies:
            request.done(synced)

    def settle(self) -> None:
        """Let everything that is under way arrive."""
        for _ in range(4):
            self.deliver(10_000)
            self.pass_turn()
            self.execute_reads()
            self.answer_reads()

    def attach(self, client: ModelClient) -> None:
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

    def _since(self, client: ModelClient) -> tuple[Position, ...] | None:
        if len(client.at) == len(client.channels):
            return tuple(client.at[name] for name in client.channels)
        return None

    def change(self, client: ModelClient, op: str, name: str, *, from_where_it_left: bool) -> None:
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
        """Let subscribers that wait for a channel give up, and let go of channels that nobody has held for long."""
        self.now += 4
        self.changes.wheel.advance(self.now)
        while self.hub.lingering.advance(self.now):
            pass

    def time_out(self, client: ModelClient) -> None:
        """Answer a waiting poll with nothing."""
        seat = client.seat
        if seat is not None and seat.framing is POLL and not self.fanout.is_busy(seat):
            self.fanout.deliver(seat, [])

    def detach(self, client: ModelClient) -> None:
        if client.seat is not None:
            client.seat.send_buffer = None
            self.seats.detach(client.seat, CloseReason.CLIENT)
            del self.seats.clients[client.seat]
        client.seat = client.edge = None

    def stop_reading(self, client: ModelClient) -> None:
        if client.seat is not None:
            self.seats.park(client.seat)

    def read_on(self, client: ModelClient) -> None:
        if client.seat is not None:
            self.seats.flush(client.seat)

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
