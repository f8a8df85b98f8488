"""The inbox: what clients sent that cannot be served yet, for all seats of an edge together. No I/O.

That is the beginning of a request or of a frame, and requests that were sent ahead of an answer. The bytes stand in
`Seat.recv_buffer`; a seat that has none costs nothing here. The inbox counts, and names the seat that waits longest
when all together have too much; edge/server/overflow.py ends it.
"""

from edge.state import Seat

MAX_BYTES = 4_194_304


class Inbox:
    """The received bytes of all seats of an edge; `kept_bytes` is their sum, which may be `max_bytes`."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self.max_bytes = max_bytes
        self.kept_bytes = 0
        self._waiting: dict[Seat, None] = {}  # seats with bytes; the one that waits longest first

    def keep(self, seat: Seat, data: bytes) -> None:
        """Keep bytes in place of those that were kept for a seat before; its wait goes on."""
        self.kept_bytes += len(data) - len(seat.recv_buffer)
        seat.keep(data)
        if not data:
            self._waiting.pop(seat, None)
        elif seat not in self._waiting:
            self._waiting[seat] = None

    def keep_rest(self, seat: Seat, rest: bytes) -> None:
        """Keep what is left after something was served: the wait for that begins now."""
        self.forget(seat)
        self.keep(seat, rest)

    def forget(self, seat: Seat) -> None:
        """Keep nothing for a seat."""
        if seat.recv_buffer:
            self.keep(seat, b"")

    def longest(self) -> Seat | None:
        """Return the seat that waits longest, if all together have more than they may have."""
        return next(iter(self._waiting), None) if self.kept_bytes > self.max_bytes else None
