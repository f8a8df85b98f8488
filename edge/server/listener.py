"""The listener: accepts connections on the public port, and reads and writes the sockets that the poller reports.

What it reads goes to the request handler (handler.py). The poller (edge/engine/poller.py) is nested in the asyncio
loop: one callback handles a whole batch of ready sockets, and a batch is bounded so that Redis, timers and the internal
port have their turn.
"""

import asyncio
import os
import random
import socket
from collections.abc import Callable
from typing import Any, Protocol

from common.errors import cannot_listen
from common.logs import get_logger
from common.service.addresses import BACKLOG, open_listeners
from common.service.exhausted import EXHAUSTED
from common.service.graceful_close import refuse_new
from edge.counters import CloseReason
from edge.engine.poller import ERROR, HANGUP, READ, READ_HANGUP, WRITE, Poller
from edge.engine.seats import Seats
from edge.state import IDLE, Seat

SOCKETS_PER_TURN = 64  # ready sockets: one or two milliseconds
FLUSHES_PER_TURN = 32  # seats that are behind: one or two milliseconds, too
MOST_LOOKED_AT = 1024  # ready sockets, while more seats than that are behind: who asks for something is among them
ACCEPTS_PER_TURN = 64  # connections, in about a millisecond: many that come together must not delay deliveries
READ_BYTES = 992  # enough for most requests; a bytes object of this size fits the quick bins of the C library
MAX_REST_BYTES = 7200  # of a second read, if the first one was full
MAX_LAST_BYTES = 16_384  # of a client that sends nothing more: about all that the kernel keeps of it
USER_TIMEOUT_MS = 30_000  # a peer that acknowledges no byte for this long is gone
RECEIVE_BUFFER = 10_240  # bytes that the kernel keeps of what is not read yet; it doubles the figure: a whole head
SEND_BUFFER = 65_536  # bytes that the kernel keeps for one slow client; it doubles the figure
RESERVED_FILES = 64  # descriptors that clients never get: they are for Redis, the internal port, logs
MAX_SURPLUS = 128  # connections over the limit that are accepted all the same, to be rejected with a proper answer
EXHAUSTED_PAUSE = 1.0  # seconds without accepting when descriptors or memory are used up
SURPLUS_PAUSE = 0.05  # seconds without accepting beyond MAX_SURPLUS: those connections end soon


Address = tuple[Any, ...]  # as the kernel gives it: an address, a port, and more for IPv6


class Handler(Protocol):
    """What a listener tells of its connections."""

    def on_connection(self, seat: Seat, address: Address) -> None:
        """A connection from an address was accepted."""

    def on_bytes(self, seat: Seat, data: bytes) -> None:
        """A client sent something."""

    def on_end(self, seat: Seat) -> None:
        """A client sends nothing more; it has closed its side of the connection, or both."""


class Listener:
    """Accepts connections for one edge; `port` is 0 while it does not listen.

    `vacate` ends a connection that asks for nothing, and returns whether there was one. `make_room` ends connections
    after a batch that has sent more than may be kept.
    """

    def __init__(
        self,
        poller: Poller,
        seats: Seats,
        handler: Handler,
        vacate: Callable[[], bool] = lambda: False,
        make_room: Callable[[], None] = lambda: None,
        *,
        max_connections: int,
    ) -> None:
        self.port = 0
        self._poller = poller
        self._seats = seats
        self._handler = handler
        self._vacate = vacate
        self._make_room = make_room
        self._max_connections = max_connections
        self._sockets: dict[int, socket.socket] = {}  # by their descriptors
        self._paused = False
        self._log = get_logger()

    def open(self, host: str, port: int) -> None:
        """Bind, listen and begin to accept; port 0 is any free one. Raises `SettingsError` if that fails."""
        try:
            sockets = open_listeners(host, port, _set_options)
        except (OSError, UnicodeError) as error:  # UnicodeError: the host is not a valid name
            raise cannot_listen("COMET_EDGE_PORT", host, port, error) from None
        self.port = sockets[0].getsockname()[1]
        for listening in sockets:
            self._sockets[listening.fileno()] = listening
            self._poller.register(listening.fileno(), READ)
        asyncio.get_running_loop().add_reader(self._poller.fileno(), self.on_ready)

    def refuse_new(self) -> None:
        """Refuse connections whose handshake has not begun, because the listener closes soon."""
        for listening in self._sockets.values():
            refuse_new(listening)

    def close(self) -> None:
        """Accept the connections that the kernel has in its queue, and stop listening; connections stay open."""
        for _ in range(BACKLOG // ACCEPTS_PER_TURN):
            self._accept()
        for fd, listening in self._sockets.items():
            if not self._paused:
                self._poller.unregister(fd)
            listening.close()
        self._sockets.clear()

    def on_ready(self) -> None:
        """Handle a batch of ready sockets.

        New connections are accepted last: until then no descriptor number in this batch can have been reused.
        """
        if len(self._seats.parked) > FLUSHES_PER_TURN:
            accept = self._handle_many(min(SOCKETS_PER_TURN + len(self._seats.parked), MOST_LOOKED_AT))
        else:
            accept = self._handle_few()
        self._make_room()
        if accept:
            self._accept()

    def _handle_few(self) -> bool:
        """Handle the next ready sockets in their order; return whether connections wait to be accepted."""
        accept = False
        for fd, events in self._poller.poll(0, SOCKETS_PER_TURN):
            seat = self._seats.get(fd)
            if seat is not None:
                if events == READ:
                    self._read(seat)
                else:
                    self._on_event(seat, events)
            elif fd in self._sockets:
                accept = True
        return accept

    def _handle_many(self, most: int) -> bool:
        """Do the same while many seats are behind: who asks for something does not wait for those who take much."""
        asking: list[tuple[Seat, int]] = []
        behind: list[Seat] = []
        accept = False
        for fd, events in self._poller.poll(0, most):
            seat = self._seats.get(fd)
            if seat is not None:
                if events == WRITE:
                    behind.append(seat)
                else:
                    asking.append((seat, events))
            elif fd in self._sockets:
                accept = True
        for seat, events in asking[:SOCKETS_PER_TURN]:
            self._on_event(seat, events)
        for seat in random.sample(behind, min(len(behind), FLUSHES_PER_TURN)):  # each has its turn
            self._seats.flush(seat)
        return accept

    def _on_event(self, seat: Seat, events: int) -> None:
        if events & (ERROR | HANGUP):
            self._seats.abort(seat, CloseReason.CLIENT)
            return
        if events & WRITE:
            self._seats.flush(seat)
        if seat.fd >= 0 and events & READ and events & READ_HANGUP:
            self._read_last(seat)
        elif seat.fd >= 0 and events & READ:
            self._read(seat)
        elif seat.fd >= 0 and events & READ_HANGUP:
            self._handler.on_end(seat)

    def _read(self, seat: Seat) -> None:
        try:
            data = os.read(seat.fd, READ_BYTES)
            if len(data) == READ_BYTES:
                data += _rest(seat.fd)
        except BlockingIOError:
            return
        except OSError:
            self._seats.abort(seat, CloseReason.CLIENT)
            return
        if data:
            self._handler.on_bytes(seat, data)
        else:
            self._handler.on_end(seat)

    def _read_last(self, seat: Seat) -> None:
        """Read from a client that has closed its side: what is left of its bytes.

        If that is no whole request, their end is taken in the same turn: many clients that fill their connections and
        close them at once would keep newcomers in the kernel's queue.
        """
        try:
            data = os.read(seat.fd, MAX_LAST_BYTES)
        except OSError:
            self._seats.abort(seat, CloseReason.CLIENT)
            return
        if data:
            self._handler.on_bytes(seat, data)
        if not data or (seat.phase is IDLE and len(data) < MAX_LAST_BYTES):
            self._handler.on_end(seat)

    def _accept(self) -> None:
        """Accept connections of every address, until no more wait, the turn is over, or accepting pauses."""
        for listening in self._sockets.values():
            if self._paused:
                return
            self._accept_some(listening)

    def _accept_some(self, listening: socket.socket) -> None:
        for _ in range(ACCEPTS_PER_TURN):
            if len(self._seats) > self._max_connections + MAX_SURPLUS and not self._vacate():
                self._pause(SURPLUS_PAUSE)
                return
            try:
                # Only the C half of socket.accept(): the other half wraps the descriptor in an object that is of no
                # use here, for a tenth of what a subscriber costs in all.
                fd, address = listening._accept()  # type: ignore[attr-defined]
                os.set_blocking(fd, False)
                self._handler.on_connection(self._seats.add(fd), address)
            except BlockingIOError:
                return
            except OSError as error:
                self._on_accept_error(error)
                return

    def _on_accept_error(self, error: OSError) -> None:
        """Pause if descriptors or memory are used up: without it the loop fails on the same connection all the time."""
        if error.errno not in EXHAUSTED:
            return  # the client has closed the connection already
        self._log.warning("no more connections can be accepted; pausing", error=error.strerror)
        self._pause(EXHAUSTED_PAUSE)

    def _pause(self, seconds: float) -> None:
        """Leave new connections in the kernel's queue for a while."""
        self._paused = True
        for fd in self._sockets:
            self._poller.unregister(fd)
        asyncio.get_running_loop().call_later(seconds, self._accept_again)

    def _accept_again(self) -> None:
        self._paused = False
        for fd in self._sockets:
            self._poller.register(fd, READ)


def _rest(fd: int) -> bytes:
    """Return what else a client has sent, if anything."""
    try:
        return os.read(fd, MAX_REST_BYTES)
    except BlockingIOError:
        return b""


def _set_options(listening: socket.socket) -> None:
    """Set a listening socket's options; accepted connections inherit them on Linux."""
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)
