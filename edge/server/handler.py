"""The request handler: reads the requests of the public port, attaches subscribers, and answers everything else.

The bytes come from listener.py. edge/protocol/ parses them; edge/subscribers/lifecycle.py attaches and holds
subscribers; answers.py refuses; session_changes.py changes the channels of a session.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from common.browsers.hosts import Hosts
from common.errors import RequestError, UnavailableError
from common.names import ForeignNames
from edge.cluster.forwarding import SessionForwarder
from edge.cluster.name_lists import UNREACHABLE, NameLists
from edge.counters import CloseReason, Counters
from edge.engine.grants import Grants
from edge.engine.seats import Seats
from edge.engine.wheel import TICK_PERIOD, Wheel
from edge.framing.base import Framing
from edge.framing.http import CONTINUE, preflight
from edge.framing.items import GOING_AWAY, error_item
from edge.parked import NEVER
from edge.protocol.http import (
    CHANGE_PATH,
    HEAD_END,
    MAX_CACHED_BYTES,
    Request,
    check_unfinished,
    parse_request,
    short_parser,
)
from edge.protocol.limits import InputLimits
from edge.protocol.origins import Origins
from edge.protocol.subscribe import SubscribeRequest, negotiate, short_negotiator
from edge.server.answers import Answers
from edge.server.clients import Clients
from edge.server.listener import Address
from edge.server.long_cursors import LongCursors, PendingNames
from edge.server.places import Places
from edge.server.session_changes import NOT_CHANGED, SessionChanges
from edge.server.turns import Turns
from edge.state import ENDING, IDLE, Pending, PendingAttach, Seat
from edge.subscribers.lifecycle import CLOSE_TIMEOUT, Lifecycle
from edge.subscribers.pending import NO_MEMORY, NOT_JOINED
from edge.subscribers.postponed import NO_ROOM, PostponedSubscribe
from edge.subscribers.websocket import WebSocketReader

FULL = "this edge is full; try again, here or on another edge"
LATENESS = 6 * TICK_PERIOD  # by which thousands of deadlines that pass at once are kept: they are set so much earlier


class RequestHandler:
    """Handles the bytes and the deadlines of every connection; `header_timeout` is in seconds."""

    def __init__(
        self,
        seats: Seats,
        lifecycle: Lifecycle,
        websockets: WebSocketReader,
        forwarder: SessionForwarder,
        wheel: Wheel[Seat],
        counters: Counters,
        clock: Callable[[], float],
        call_soon: Callable[..., object],
        foreign: ForeignNames,
        lists: NameLists,
        grants: Grants,
        clients: Clients | None = None,
        *,
        header_timeout: float,
        allowed_origins: tuple[str, ...],
        hosts: tuple[str, ...] = (),
        max_connections: int,
        limits: InputLimits,
    ) -> None:
        self.turns = Turns(seats, lifecycle, wheel, clock, call_soon, self.on_bytes)
        self._closes_connections = False
        self._rejects_subscribers = False
        self._seats, self._open = seats, seats.open
        self._inbox = seats.inbox
        self._lifecycle = lifecycle
        self._websockets = websockets
        self._wheel = wheel
        self._counters = counters
        self._clock = clock
        self._foreign = foreign
        self._grants, self._guard = grants, grants.guard
        self._header_timeout = header_timeout
        self._patience = header_timeout - min(LATENESS, header_timeout / 4)
        self._origins = Origins(allowed_origins)
        self._hosts = Hosts(hosts) if hosts else None  # None: subscribers may ask under any name
        self._parse_short = short_parser(limits)
        self._negotiate_short = short_negotiator(self._origins, limits.max_channels)
        self.answers = Answers(seats, lifecycle, self.turns, counters, self._origins)
        self._max_connections = max_connections
        self._limits = limits
        self.clients = clients  # None: nothing is counted by address
        self.places = Places(seats, clock, max_connections=max_connections, header_timeout=self._patience)
        self._changes = SessionChanges(
            forwarder, self.answers, wheel, clock, clients, limits.max_operations, self._guard
        )
        self._long_cursors = LongCursors(
            lists, lifecycle, self.answers, wheel, counters, clock, self._admit, limits.max_channels
        )

    # The edge drains and stops.

    def close_connections(self) -> None:
        """Make every answer from now on its connection's last."""
        self._closes_connections = True

    def reject_subscribers(self) -> None:
        """Hold no more subscribers: reject streams, and answer polls at once."""
        self._rejects_subscribers = True

    async def stop(self) -> None:
        """Cancel what is under way between edges, or with Redis."""
        await self._changes.stop()
        await self._long_cursors.stop()

    # Bytes are received.

    def on_connection(self, seat: Seat, address: Address) -> None:
        """A connection was accepted: set the deadline of its first request."""
        self._wheel.schedule(seat, self._clock() + self._patience)

    def on_bytes(self, seat: Seat, data: bytes) -> None:
        """Handle bytes from a client; none if those in the seat's `recv_buffer` are to be handled."""
        try:
            if seat.phase is IDLE:
                self._next_request(seat, seat.recv_buffer + data)
            elif seat.framing is not None and seat.framing.bidirectional:
                self._websockets.on_bytes(seat, data)
            elif data and seat.phase < ENDING:
                self._on_unexpected(seat, data)
        except Exception:
            self._lifecycle.fail(seat)

    def on_end(self, seat: Seat) -> None:
        """A client has closed its side of the connection: it sends nothing more, but may still read."""
        try:
            self._lifecycle.on_half_closed(seat)
        except Exception:
            self._lifecycle.fail(seat)

    def _next_request(self, seat: Seat, data: bytes) -> None:
        """Serve the first request in what a client has sent if it is complete, and keep the rest."""
        data = data.lstrip(b"\r\n")  # empty lines before a request are ignored (RFC 9112 section 2.2)
        end = data.find(HEAD_END) + 4  # its length
        try:
            if end < 4:
                check_unfinished(data, self._limits)
                self._wait_for_the_rest(seat, data)
                return
            head = data if len(data) == end else data[:end]
            request = self._parse_short(head) if end <= MAX_CACHED_BYTES else parse_request(head, self._limits)
        except RequestError as error:
            body = not data.startswith(b"HEAD ")
            self.answers.refuse_last(seat, error.status, error.sentence, body=body, limit=error.limit)
            return
        if len(data) < end + request.length:
            if len(data) == end and request.wants_continue:
                self._seats.write(seat, CONTINUE)
            self._wait_for_the_rest(seat, data)
            return
        end += request.length
        if len(data) > end or seat.recv_buffer:
            self._inbox.keep_rest(seat, data[end:])
        self._serve(seat, request, data[end - request.length : end] if request.length else b"")

    def _wait_for_the_rest(self, seat: Seat, data: bytes) -> None:
        if seat in self._seats.half_closed:
            self._lifecycle.let_go(seat)
        elif seat.fd >= 0:
            self._inbox.keep(seat, data)
            self._wheel.schedule(seat, min(seat.deadline, self._clock() + self._patience))

    def on_early_bytes(self, seat: Seat) -> None:
        """A subscriber is held that sent bytes before its welcome: handle them if it has a WebSocket, else end it."""
        if seat.framing is not None and seat.framing.bidirectional:
            self.turns.go_on_soon(seat)
        else:
            self._on_unexpected(seat, b"")

    def _on_unexpected(self, seat: Seat, data: bytes) -> None:
        """Handle bytes that arrive before the last request is answered.

        After a poll they are the next request, and before a WebSocket's welcome they are its first frames: they are
        kept, and nothing more is read. The answer to a stream never ends, so no request can follow: it is closed with
        an error. Empty lines are ignored here, too (RFC 9112 section 2.2): some clients send one too many.
        """
        framing = seat.framing or (seat.pending.framing if seat.pending is not None else None)
        if framing is not None and (framing.single_response or framing.bidirectional):
            self._inbox.keep(seat, seat.recv_buffer + data)
            self._seats.pause_reading(seat)
        elif not (seat.recv_buffer + data).strip(b"\r\n"):
            self._inbox.forget(seat)
        elif seat.framing is not None:
            sentence = "this connection is held by a stream; send another request on a connection of its own"
            self._lifecycle.close(seat, seat.framing.last_error(error_item(400, sentence)), CloseReason.ERROR)
        else:
            self.answers.refuse_last(seat, 400, "a second request came before the first was answered")

    # A request is answered.

    def _serve(self, seat: Seat, request: Request, body: bytes) -> None:
        if self._closes_connections and request.keep_alive:
            request = replace(request, keep_alive=False)
        try:
            if self._hosts is not None:
                self._hosts.check(request.headers.get("host", ""))
            if request.method == "GET":
                self._subscribe(seat, request)
            elif request.method == "POST" and request.path.startswith(CHANGE_PATH):
                self._changes.begin(seat, request, body)
            elif request.method == "OPTIONS":
                asked = request.headers.get("access-control-request-headers", "")
                self.answers.send(seat, preflight(asked, self.answers.plain(request)), request.keep_alive)
            else:
                raise RequestError(f"{request.method} is not allowed here; subscribe with GET", 405)
        except RequestError as error:
            self.answers.refuse(seat, request, error)

    def _subscribe(self, seat: Seat, request: Request) -> None:
        is_surplus = len(self._open) > self._max_connections and not self.places.has_place(seat)
        closing = is_surplus or (seat.expires != NEVER and self._clock() >= seat.expires)
        if request.is_short:
            asked, framing = self._negotiate_short(request, closing)
        else:
            asked, framing = negotiate(request, self._origins, self._limits.max_channels, closing=closing)
        if is_surplus:
            self._counters.limited_total["max_connections"] += 1
            self.answers.reject(seat, framing, FULL)
            return
        if self._rejects_subscribers:
            if not framing.single_response:
                self.answers.reject(seat, framing, GOING_AWAY)
                return
            asked = replace(asked, timeout=0.0)
        try:
            if asked.has_channel_names and (asked.needs_names or asked.stored is not None):
                if self._guard is not None:  # what can be said before anything is asked of Redis
                    self._guard.admit(request, asked.transport, asked.channels if asked.stored is None else ())
                self._long_cursors.lead(seat, request, asked, framing)
            elif self.clients is not None or self._foreign.beginnings or self._guard is not None:
                self._admit(seat, request, asked, framing)
            else:
                self._lifecycle.attach(seat, asked, framing)
        except UnavailableError as error:  # the keys of tokens are not known yet
            self.answers.reject(seat, framing, error.sentence)

    def _admit(self, seat: Seat, request: Request, asked: SubscribeRequest, framing: Framing) -> None:
        """Attach a subscriber whose channels are known, unless it may not have them; raises `RequestError`."""
        if self._foreign.beginnings:
            for name in asked.channels:
                self._foreign.check(name)
        self._grants.admit(seat, request, asked.transport, asked.channels)
        if self.clients is not None:
            refusal = self.clients.refusal(seat, request.headers, asked.channels, holds=True, goes_back=asked.goes_back)
            if refusal:
                self.answers.reject(seat, framing, refusal, 429)
                return
        self._lifecycle.attach(seat, asked, framing)

    # Time passes.

    def on_due(self, seats: Sequence[Seat]) -> None:
        """The deadlines of these seats have passed; those that only need a heartbeat get it together."""
        for seat in self._lifecycle.beat(seats):
            try:
                if seat.fd >= 0:
                    self._end_wait(seat)
            except Exception:
                self._lifecycle.fail(seat)

    def _end_wait(self, seat: Seat) -> None:
        """Do what a seat's deadline was for, which follows from its phase."""
        if seat.send_buffer is not None and (seat.phase is IDLE or seat.phase is ENDING):
            self._wheel.schedule(seat, self._clock() + CLOSE_TIMEOUT)  # it still takes its answer; S5 says how long
        elif seat.phase is ENDING:
            self._seats.abort(seat, CloseReason.CLIENT)
        elif seat.pending is not None:
            self.answers.reject(seat, seat.pending.framing, _why_in_vain(seat.pending))
        elif seat.framing is None:
            self._on_no_request(seat)
        else:
            self._lifecycle.on_due(seat, seat.framing)

    def _on_no_request(self, seat: Seat) -> None:
        if seat.recv_buffer:
            self.answers.refuse_last(seat, 408, f"the request was not complete after {self._header_timeout:g} seconds")
        else:
            self._seats.abort(seat, CloseReason.IDLE)


def _why_in_vain(pending: Pending) -> str:
    """Say what a subscriber waited for whose time is up."""
    if isinstance(pending, PendingNames):
        return UNREACHABLE
    if isinstance(pending, PendingAttach):
        return NO_MEMORY if pending.is_refused else NOT_JOINED if pending.batch is None else NO_ROOM
    return NO_ROOM if isinstance(pending, PostponedSubscribe) else NOT_CHANGED
