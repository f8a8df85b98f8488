"""The front desk of the public port: takes requests, answers what is wrong with them, and leads subscribers in."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from common.errors import RequestError, UnavailableError
from common.logs import get_logger
from edge.channels.attach import ATTACH_TIMEOUT
from edge.channels.hub import Hub
from edge.cluster.forwarding import PATIENCE, SessionForwarder
from edge.counters import Counters
from edge.engine.seats import Seat, Seats
from edge.engine.wheel import Wheel
from edge.framing import (
    CONTINUE,
    GOING_AWAY,
    Framing,
    Item,
    Variant,
    change_response,
    error_response,
    framing_for,
    preflight,
    retry_headers,
)
from edge.protocol.handshake import VERSION
from edge.protocol.http import CHANGE_PATH, HEAD_END, Request, check_unfinished, parse_request
from edge.protocol.negotiate import negotiate
from edge.protocol.operations import load_operations, parse_operation
from edge.protocol.origins import Origins
from edge.protocol.subscribe import SubscribeRequest
from edge.state import PendingAttach
from edge.subscribers.changes import ChannelChanges
from edge.subscribers.lifecycle import Lifecycle
from edge.subscribers.websocket import WebSocketReader

IDLE_TIMEOUT = 75.0  # seconds a connection may rest between two requests
RETRY_AFTER = (1.0, 5.0)  # seconds; each client gets its own, so that they do not come back together
SURPLUS_TIMEOUT = 2.0  # seconds that one too many may take to send its request
FULL = "this edge is full; try again, here or on another edge"
NO_REDIS = "this edge has no connection to Redis; try again, here or on another edge"
ALLOWED_METHODS = "GET, OPTIONS"
EXPECTED = {405: (f"Allow: {ALLOWED_METHODS}",), 426: ("Upgrade: websocket", f"Sec-WebSocket-Version: {VERSION}")}


class RequestHandler:
    """Answers the public port."""

    def __init__(
        self,
        seats: Seats,
        hub: Hub,
        lifecycle: Lifecycle,
        changes: ChannelChanges,
        forwarder: SessionForwarder,
        counters: Counters,
        clock: Callable[[], float],
        call_soon: Callable[..., object],
        *,
        header_timeout: float,
        allowed_origins: tuple[str, ...],
        max_connections: int,
    ) -> None:
        self.closing = False  # every answer is its connection's last
        self.leaving = False  # nobody is seated any more
        self.wheel = lifecycle.wheel = Wheel(self._on_due, clock())
        changes.seat_wheel = self.wheel
        lifecycle.on_early_bytes = self._on_early_bytes
        self._websockets = WebSocketReader(seats, changes, clock, call_soon, end=lifecycle.end, on_bug=self._on_bug)
        self._seats = seats
        self._hub = hub
        self._lifecycle = lifecycle
        self._forwarder = forwarder
        self._counters = counters
        self._clock = clock
        self._call_soon = call_soon
        self._header_timeout = header_timeout
        self._origins = Origins(allowed_origins)
        self._most = max_connections
        self._log = get_logger()

    # Bytes come in.

    def on_connection(self, seat: Seat) -> None:
        """A connection was accepted: its first request head has a deadline."""
        surplus = len(self._seats) > self._most
        timeout = min(self._header_timeout, SURPLUS_TIMEOUT) if surplus else self._header_timeout
        self.wheel.schedule(seat, self._clock() + timeout)

    def on_bytes(self, seat: Seat, data: bytes) -> None:
        """A client sent something."""
        try:
            if seat.framing is None and seat.pending is None:
                if not seat.ending:
                    seat.inbox += data
                    self._next_request(seat)
            elif seat.framing is not None and seat.framing.bidirectional:
                self._websockets.on_bytes(seat, data)
            elif data:
                self._on_unexpected(seat, data)
        except Exception:
            self._on_bug(seat)

    def on_answered(self, seat: Seat) -> None:
        """A poll was answered: the connection is free for its next request, which may be here already."""
        if seat.fd < 0:
            return
        self.wheel.schedule(seat, self._clock() + IDLE_TIMEOUT)
        if seat.inbox:
            self._seats.watch(seat, reading=False)  # until these have been served: one request in a turn
            self._call_soon(self._go_on, seat)

    def _go_on(self, seat: Seat) -> None:
        """Serve what came before it could be, and read on."""
        if seat.fd >= 0:
            self._seats.watch(seat, reading=True)
            self.on_bytes(seat, b"")

    def _on_bug(self, seat: Seat) -> None:
        """The last resort: a bug shows in the log and costs one client its connection, nobody else anything."""
        self._log.exception("a connection could not be served; it is closed")
        self._seats.remove(seat, "error")

    def _next_request(self, seat: Seat) -> None:
        """Serve the request at the head of a seat's inbox, if it is complete."""
        data = seat.inbox.lstrip(b"\r\n")  # empty lines before a request are ignored (RFC 9112 section 2.2)
        end = data.find(HEAD_END) + len(HEAD_END)
        try:
            if end < len(HEAD_END):
                check_unfinished(data)
                self._wait_for_the_rest(seat, data)
                return
            request = parse_request(data[:end])
        except RequestError as error:
            self._end_with_error(seat, error.status, error.sentence)
            return
        if len(data) < end + request.length:
            if len(data) == end and request.headers.get("expect", "").lower() == "100-continue":
                self._seats.write(seat, CONTINUE)
            self._wait_for_the_rest(seat, data)
            return
        seat.inbox = data[end + request.length :]
        self._serve(seat, request, data[end : end + request.length])

    def _wait_for_the_rest(self, seat: Seat, data: bytes) -> None:
        if seat.fd >= 0:
            seat.inbox = data
            self.wheel.schedule(seat, min(seat.deadline, self._clock() + self._header_timeout))

    def _on_early_bytes(self, seat: Seat) -> None:
        """Bytes came before the subscriber was welcomed: a WebSocket's are heard now."""
        if seat.framing is not None and seat.framing.bidirectional:
            self._call_soon(self._go_on, seat)
        else:
            self._on_unexpected(seat, b"")

    def _on_unexpected(self, seat: Seat, data: bytes) -> None:
        """Bytes came while an answer is still outstanding.

        After a poll they are the next request, sent early: they wait, and nothing more is read; so do a WebSocket's
        before its welcome. A stream's answer never ends, so nothing can follow it: the stream is ended and says why.
        """
        framing = seat.framing or (seat.pending.framing if seat.pending is not None else None)
        if framing is not None and (framing.single_response or framing.bidirectional):
            seat.inbox += data
            self._seats.watch(seat, reading=False)
        elif seat.framing is not None:
            sentence = "this connection is held by a stream; send another request on a connection of its own"
            item = Item("error", content=sentence, code=400)
            self._lifecycle.end(seat, seat.framing.encode([item], "") + seat.framing.end, "error")
        else:
            self._end_with_error(seat, 400, "a second request came before the first was answered")

    # A request is answered.

    def _serve(self, seat: Seat, request: Request, body: bytes) -> None:
        if self.closing and request.keep_alive:
            request = replace(request, keep_alive=False)
        try:
            if request.method == "GET":
                self._subscribe(seat, request)
            elif request.method == "POST" and request.path.startswith(CHANGE_PATH):
                self._change(seat, request, body)
            elif request.method == "OPTIONS":
                self._answer(seat, preflight(self._plain(request)), request.keep_alive)
            else:
                raise RequestError(f"{request.method} is not allowed here; subscribe with GET", 405)
        except RequestError as error:
            self._refuse(seat, request, error)

    def _subscribe(self, seat: Seat, request: Request) -> None:
        surplus = len(self._seats) - self._most
        is_surplus = surplus > 0 and self._seats.came_last(seat, surplus)
        closing = is_surplus or self._clock() >= seat.expires
        asked, framing = negotiate(request, self._origins, closing=closing)
        if is_surplus:
            self._send_away(seat, framing, FULL)
            return
        if self.leaving:
            if not framing.single_response:
                self._send_away(seat, framing, GOING_AWAY)
                return
            asked = asked._replace(timeout=0.0)
        self._hub.attach(seat, asked, framing)
        if seat.pending is not None:
            self.wheel.schedule(seat, self._clock() + ATTACH_TIMEOUT)

    def _change(self, seat: Seat, request: Request, body: bytes) -> None:
        """Change the channels of a session, wherever it is held; what comes meanwhile on this connection waits."""
        framing = framing_for("poll", self._plain(request))
        values = load_operations(body)
        operations = [parse_operation(value) for value in values]
        pending = seat.pending = PendingAttach(seat, SubscribeRequest("poll", ()), framing, lambda pending: None)
        self.wheel.schedule(seat, self._clock() + PATIENCE + ATTACH_TIMEOUT)
        on_end = partial(self._on_changed, pending, request)
        self._forwarder.begin(request.path.removeprefix(CHANGE_PATH), operations, values, on_end)

    def _on_changed(self, pending: PendingAttach, request: Request, outcome: list[str] | RequestError) -> None:
        if not pending.alive:
            return
        seat, seat.pending = pending.seat, None
        if isinstance(outcome, RequestError):
            self._refuse(seat, request, outcome)
        else:
            self._answer(seat, change_response(outcome, pending.framing.variant), request.keep_alive)

    def _plain(self, request: Request) -> Variant:
        """Return the variant of a complete answer to a request; raises `RequestError` 403 for a foreign origin."""
        return Variant(closing=not request.keep_alive, origin=self._origins.admit(request.headers.get("origin", "")))

    def _refuse(self, seat: Seat, request: Request, error: RequestError) -> None:
        """Answer a request that was read well and asks for something wrong; the next one may be better."""
        self._counters.refused_total[error.status] += 1
        extra = EXPECTED.get(error.status, ())
        if isinstance(error, UnavailableError):
            extra = retry_headers(error.retry_after)
        origin = "" if error.status == 403 else request.headers.get("origin", "*")
        variant = Variant(closing=not request.keep_alive, origin=origin)
        data = error_response(error.status, error.sentence, variant, extra, body=request.method != "HEAD")
        self._answer(seat, data, request.keep_alive)

    def _answer(self, seat: Seat, data: bytes, keep_alive: bool) -> None:
        """Send a complete answer and go on with the connection, or end it."""
        if keep_alive:
            self._seats.write(seat, data)
            self.on_answered(seat)
        else:
            self._lifecycle.end(seat, data, "refused")

    def _end_with_error(self, seat: Seat, status: int, sentence: str) -> None:
        """Answer a request that could not be read to its end: nothing after it can be trusted."""
        self._counters.refused_total[status] += 1
        self._lifecycle.end(seat, error_response(status, sentence, Variant(closing=True)), "refused")

    # Time passes.

    def _on_due(self, seats: Sequence[Seat]) -> None:
        """The deadlines of some seats have passed; those that only rest get their heartbeats together."""
        for seat in self._lifecycle.beat(seats):
            try:
                if seat.fd >= 0:
                    self._end_wait(seat)
            except Exception:
                self._on_bug(seat)

    def _end_wait(self, seat: Seat) -> None:
        """Do what the deadline was for, which shows in the seat's state."""
        if seat.ending:
            self._seats.remove(seat, "client")
        elif seat.pending is not None:
            self._send_away(seat, seat.pending.framing, NO_REDIS)
        elif seat.framing is None:
            self._on_no_request(seat)
        else:
            self._lifecycle.on_due(seat, seat.framing)

    def _on_no_request(self, seat: Seat) -> None:
        if seat.inbox:
            self._end_with_error(seat, 408, f"the request was not complete after {self._header_timeout:g} seconds")
        else:
            self._seats.remove(seat, "idle")

    def _send_away(self, seat: Seat, framing: Framing, sentence: str) -> None:
        """Turn a subscriber away who did nothing wrong; each is told another time to come back."""
        self._counters.refused_total[503] += 1
        data = framing.refusal(503, sentence, random.uniform(*RETRY_AFTER))
        if framing.variant.closing or not framing.single_response:
            self._lifecycle.end(seat, data, "unavailable")
        else:
            self._seats.free(seat, "unavailable")
            self._seats.write(seat, data)
            self.on_answered(seat)
