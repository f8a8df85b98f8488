"""Wiring: the parts of an edge are put together here and nowhere else, for the process (app.py) and for its tests.

Each part gets what it uses as arguments of its constructor, from the engine up to the request handler. The callbacks
that point upward have defaults; `wire` sets them at its end.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from common.access.rates import Rate
from common.message import Message
from common.names import ForeignNames, RedisNames
from edge.chain import MESSAGE_OVERHEAD, PIECE_BYTES, PIECE_MESSAGES
from edge.channel_log import LogRules
from edge.channels.adoption import Adopt, Adopter, Sleep
from edge.channels.attach import Reader
from edge.channels.hub import Hub, Subscriptions
from edge.channels.pieces import PieceReader
from edge.channels.repeats import Repeats
from edge.cluster.cursor_names import CursorNames
from edge.cluster.forwarding import Ask, SessionForwarder
from edge.cluster.name_lists import NameLists
from edge.counters import Counters
from edge.engine.absences import Absences
from edge.engine.fanout import FanOut
from edge.engine.grants import Grants
from edge.engine.seats import Seats
from edge.engine.wheel import Wheel
from edge.framing.items import data_item
from edge.options import Options
from edge.server.clients import Clients
from edge.server.handler import RequestHandler
from edge.server.listener import Handler
from edge.server.overflow import Overflow
from edge.server.proxied import ProxiedHandler
from edge.state import Channel, Seat
from edge.subscribers.changes import ChannelChanges
from edge.subscribers.holding import Holding
from edge.subscribers.lifecycle import Lifecycle
from edge.subscribers.output import Acknowledgements, Output
from edge.subscribers.replays import Replays
from edge.subscribers.repolls import Repolls
from edge.subscribers.sessions import Sessions
from edge.subscribers.websocket import WebSocketReader
from edge.tokens.guard import Guard

LEAST_LINGERING = 20_000  # channels without messages that may linger, unless `max_lingering` says otherwise


@dataclass(frozen=True)
class Outside:
    """What the parts of an edge use from outside: Redis, the event loop, the clock; tests replace any of it.

    `reader` reads what channels need, `starts` the first entry after a position, and `pieces` some after one.
    `ask` sends a request to other edges, and `send_receipt` the number of a message's subscribers to its publisher.
    `release` lets go of what Redis keeps of a channel that this edge has given up.
    `clock` is monotonic, in seconds; `age` returns how many seconds before a time of it Redis made a tag, or None.
    """

    names: RedisNames
    pubsub: Subscriptions
    reader: Reader
    name_lists: NameLists
    starts: Reader
    pieces: Reader
    ask: Ask
    send_receipt: Callable[[str, int], None]
    clock: Callable[[], float]
    call_soon: Callable[..., object]
    call_later: Callable[[float, Callable[[], None]], object]
    release: Callable[[str], None] = lambda name: None
    adopt: Adopt | None = None  # None: plain messages are not handed in to the log
    adopt_sleep: Sleep = asyncio.sleep
    age: Callable[[int, float], float | None] = lambda tag, now: None
    foreign: ForeignNames = field(default_factory=lambda: ForeignNames(""))
    guard: Guard | None = None  # None: no channel needs a token


class Parts(NamedTuple):
    """The parts of an edge that are called from outside."""

    hub: Hub
    fanout: FanOut
    adopter: Adopter | None
    sessions: Sessions
    lifecycle: Lifecycle
    replays: Replays
    changes: ChannelChanges
    forwarder: SessionForwarder
    handler: RequestHandler
    front: Handler  # of the listener
    overflow: Overflow
    seat_wheel: Wheel[Seat]
    absences: Absences
    repeats: Repeats


def wire(edge_id: str, seats: Seats, counters: Counters, outside: Outside, options: Options) -> Parts:
    """Put the parts of an edge together around its seats."""
    clock = outside.clock
    wheel: Wheel[Seat] = Wheel(clock())
    grants = Grants(outside.guard)
    sessions = Sessions(edge_id, seats)
    absences, repeats = Absences(clock, options.linger), Repeats(clock)
    fanout = FanOut(
        seats,
        absences,
        counters,
        clock,
        outside.call_later,
        sign=sessions.sign,
        age=outside.age,
        flush_after=options.flush_after,
        policy=options.policy,
    )
    channels: dict[str, Channel] = {}
    adopter = _make_adopter(channels, fanout, counters, outside)
    hub = _make_hub(channels, fanout, repeats, adopter, counters, outside, options)
    output = Output(seats)
    largest = PIECE_BYTES + options.max_message_bytes + PIECE_MESSAGES * MESSAGE_OVERHEAD
    pieces = PieceReader(outside.pieces, clock, outside.call_soon, largest=largest)
    clients = Clients(options.clients, channels, counters, clock) if options.clients.are_needed else None
    sent_history = clients.sent_history if clients is not None else None
    replays = Replays(hub, pieces, seats, output, wheel, counters, clock, outside.call_soon, sent_history=sent_history)
    holding = Holding(
        seats,
        fanout,
        sessions,
        absences,
        replays,
        wheel,
        counters,
        clock,
        heartbeat=options.heartbeat,
        poll_timeout=options.poll_timeout,
        max_age=options.max_age,
        sent_history=sent_history,
    )
    lifecycle = Lifecycle(
        seats, hub, fanout, sessions, holding, replays, grants, wheel, counters, clock, heartbeat=options.heartbeat
    )
    answers = Acknowledgements(sessions, outside.foreign, grants, counters, options.limits.max_channels)
    repolls = Repolls(hub, fanout, seats, sessions, absences, replays, grants, answers, wheel, counters, clock)
    lists, pot = outside.name_lists, outside.name_lists.pot
    changes = ChannelChanges(
        hub, fanout, sessions, absences, replays, repolls, answers, output, clock, pot.owners, pot.leave
    )
    forwarder = SessionForwarder(
        sessions, changes, CursorNames(changes, lists), grants, outside.ask, max_asks=options.session_asks
    )
    refuse_join = clients.refusal_of_held if clients is not None else None
    rate: Rate[Seat] = Rate(options.limits.websocket_rate, 1.0, clock)
    websockets = WebSocketReader(
        seats, lifecycle, changes, output, counters, clock, outside.call_soon, options.limits, rate, refuse_join
    )
    handler = RequestHandler(
        seats,
        lifecycle,
        websockets,
        forwarder,
        wheel,
        counters,
        clock,
        outside.call_soon,
        outside.foreign,
        lists,
        grants,
        clients,
        header_timeout=options.header_timeout,
        allowed_origins=options.allowed_origins,
        hosts=options.hosts,
        max_connections=options.max_connections,
        limits=options.limits,
    )
    overflow = Overflow(seats.inbox, lifecycle, handler.answers, counters)
    seats.on_detach = _detaching(changes, clients, rate, grants)
    seats.on_flushed = handler.turns.on_flushed
    fanout.on_begun = hub.admit
    fanout.on_answered = handler.turns.on_answered
    holding.on_early_bytes = handler.on_early_bytes
    wheel.on_due = handler.on_due
    front = ProxiedHandler(handler, clients, seats) if clients is not None else handler
    return Parts(
        hub,
        fanout,
        adopter,
        sessions,
        lifecycle,
        replays,
        changes,
        forwarder,
        handler,
        front,
        overflow,
        wheel,
        absences,
        repeats,
    )


def _detaching(
    changes: ChannelChanges, clients: Clients | None, rate: Rate[Seat], grants: Grants
) -> Callable[[Seat], None]:
    """Return what takes a seat out of its channels, and out of what is counted by seat, if anything is."""
    counted: list[Callable[[Seat], None]] = [rate.forget] if rate.burst else []
    if clients is not None:
        counted.append(clients.leave)
    if grants.guard is not None:
        counted.append(grants.leave)
    return partial(_detach, changes, counted) if counted else changes.detach


def _detach(changes: ChannelChanges, counted: Sequence[Callable[[Seat], None]], seat: Seat) -> None:
    for leave in counted:
        leave(seat)
    changes.detach(seat)


def _make_adopter(channels: dict[str, Channel], fanout: FanOut, counters: Counters, outside: Outside) -> Adopter | None:
    if outside.adopt is None:
        return None

    def deliver(name: str, payloads: list[bytes]) -> None:
        """Send messages live that could not be stored."""
        channel = channels.get(name)
        if channel is not None:
            for payload in payloads:
                fanout.add(channel, data_item(name, Message(payload)))
            fanout.flush()

    return Adopter(outside.adopt, deliver, counters, outside.clock, sleep=outside.adopt_sleep)


def _make_hub(
    channels: dict[str, Channel],
    fanout: FanOut,
    repeats: Repeats,
    adopter: Adopter | None,
    counters: Counters,
    outside: Outside,
    options: Options,
) -> Hub:
    rules = LogRules(
        keeps_history=options.keeps_history,
        adopts=adopter is not None,
        max_message_bytes=options.max_message_bytes,
    )
    return Hub(
        outside.names,
        outside.pubsub,
        fanout,
        outside.reader,
        outside.starts,
        repeats,
        rules,
        counters,
        outside.clock,
        outside.call_soon,
        channels=channels,
        adopter=adopter,
        send_receipt=outside.send_receipt,
        release=outside.release,
        linger=options.linger,
        max_lingering=options.max_lingering or max(LEAST_LINGERING, options.max_connections),
    )
