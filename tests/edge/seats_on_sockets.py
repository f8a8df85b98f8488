"""Seats on real sockets, and what their clients have received."""

import socket
from collections.abc import Callable

from edge.counters import CloseReason, Counters
from edge.engine.poller import Poller, SelectorPoller, make_poller
from edge.engine.seats import Seats
from edge.framing.base import Framing
from edge.framing.http import Variant
from edge.framing.transports import framing_for
from edge.state import Channel, Seat

FRAMING = framing_for("stream", Variant(chunked=False))
POLLERS = [make_poller, SelectorPoller]


class SeatsOnSockets:
    """Seats with their poller, and the other ends of their connections."""

    def __init__(self, poller: Poller) -> None:
        self.poller = poller
        self.counters = Counters()
        self.seats = Seats(poller, self.counters)
        self._sockets: list[socket.socket] = []

    def connect(self, *, shares_bytes: bool = True) -> tuple[Seat, socket.socket]:
        """Return a new seat on the fast path (unless it shall not share), and its client's socket."""
        ours, client = socket.socketpair()
        ours.setblocking(False)
        client.setblocking(False)
        self._sockets.append(client)
        seat = self.seats.add(ours.detach())
        seat.attach(tuple(map(Channel, ["room"] if shares_bytes else ["room", "other"])), 0)
        seat.hold(FRAMING, None)
        self.counters.opened("stream")
        return seat, client

    def events(self, seat: Seat) -> int:
        """Return what the poller reports of a seat now."""
        return dict(self.poller.poll(0, 256)).get(seat.fd, 0)

    def close(self) -> None:
        """Close everything."""
        for seat in self.seats:
            self.seats.abort(seat, CloseReason.CLIENT)
        for sock in self._sockets:
            sock.close()
        self.poller.close()


def unsent(seat: Seat) -> bytes:
    """Return what is parked for a seat."""
    parked = seat.send_buffer
    return b"".join(parked.chunks)[parked.sent :] if parked is not None else b""


def said(data: bytes) -> Callable[[Framing], bytes]:
    """Return an encoder that gives every framing the same bytes."""
    return lambda framing: data


def received(client: socket.socket, limit: int = 1 << 30) -> bytes:
    """Return what has arrived at a client, at most `limit` bytes of it."""
    taken = b""
    while len(taken) < limit:
        try:
            data = client.recv(min(65536, limit - len(taken)))
        except (BlockingIOError, ConnectionResetError):  # reset: it was closed before it was read to its end
            break
        if not data:
            break
        taken += data
    return taken
