"""The answers to requests that hold no subscriber: refusals of every kind, and answers that are complete at once."""

import random

from common.errors import ForeignChannelError, RequestError, UnavailableError
from edge.counters import CloseReason, Counters
from edge.engine.seats import Seats
from edge.framing.base import Framing
from edge.framing.http import NO_OPENER, Variant, error_response, retry_headers
from edge.protocol.http import Request
from edge.protocol.origins import Origins
from edge.protocol.websocket import VERSION
from edge.server.turns import Turns
from edge.state import Seat
from edge.subscribers.lifecycle import Lifecycle
from edge.tokens.grant import TokenError

RETRY_AFTER = (1.0, 5.0)  # seconds; each client gets a random time between these, so that they do not return together
ALLOWED_METHODS = "GET, OPTIONS"
EXPECTED = {
    401: ("WWW-Authenticate: Bearer",),
    403: (NO_OPENER,),
    405: (f"Allow: {ALLOWED_METHODS}",),
    426: ("Upgrade: websocket", f"Sec-WebSocket-Version: {VERSION}"),
}


class Answers:
    """Sends complete answers, and then waits for the next request or closes the connection."""

    def __init__(self, seats: Seats, lifecycle: Lifecycle, turns: Turns, counters: Counters, origins: Origins) -> None:
        self._seats = seats
        self._lifecycle = lifecycle
        self._turns = turns
        self._counters = counters
        self._origins = origins

    def send(self, seat: Seat, data: bytes, keep_alive: bool) -> None:
        """Send a complete answer, and wait for the next request or close the connection."""
        if keep_alive:
            self._seats.write(seat, data)
            self._turns.on_answered(seat)
        else:
            self._lifecycle.close(seat, data, CloseReason.REFUSED)

    def plain(self, request: Request) -> Variant:
        """Return the variant of a complete answer; raises `RequestError` 403 for an origin that is not allowed."""
        return Variant(closing=not request.keep_alive, origin=self._origins.admit(request.headers.get("origin", "")))

    def refuse(self, seat: Seat, request: Request, error: RequestError) -> None:
        """Answer a well-formed request that cannot be served; the connection may go on with another one."""
        self._count(error.status, error.limit)
        extra = EXPECTED.get(error.status, ())
        if isinstance(error, UnavailableError):
            extra = retry_headers(error.retry_after)
        elif error.status == 429:
            extra = retry_headers(random.uniform(*RETRY_AFTER))
        is_of_foreign_page = error.status == 403 and not isinstance(error, ForeignChannelError | TokenError)
        origin = "" if is_of_foreign_page else self._origins.readable_by(request.headers.get("origin", ""))
        variant = Variant(closing=not request.keep_alive, origin=origin)
        data = error_response(error.status, error.sentence, variant, extra, body=request.method != "HEAD")
        self.send(seat, data, request.keep_alive)

    def refuse_last(self, seat: Seat, status: int, sentence: str, *, body: bool = True, limit: str = "") -> None:
        """Answer what is no whole request and close the connection: where the next request begins is not known."""
        self._count(status, limit)
        extra = retry_headers(random.uniform(*RETRY_AFTER)) if status == 503 else ()
        answer = error_response(status, sentence, Variant(closing=True), extra, body=body)
        self._lifecycle.close(seat, answer, CloseReason.REFUSED)

    def reject(self, seat: Seat, framing: Framing, sentence: str, status: int = 503) -> None:
        """Reject a subscriber with 503 or 429 (SSE: an empty 200) and a random time after which to try again."""
        self._counters.refused_total[status] += 1
        data = framing.refusal(status, sentence, random.uniform(*RETRY_AFTER))
        if framing.closing or not framing.single_response:
            self._lifecycle.close(seat, data, CloseReason.UNAVAILABLE)
        else:
            self._seats.detach(seat, CloseReason.UNAVAILABLE)
            self._seats.write(seat, data)
            self._turns.on_answered(seat)

    def _count(self, status: int, limit: str) -> None:
        self._counters.refused_total[status] += 1
        if limit:
            self._counters.limited_total[limit] += 1
