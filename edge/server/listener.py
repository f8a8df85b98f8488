"""The public port's socket: accepts connections, and tells the request handler and the seats what the poller saw.

The poller is nested in the asyncio loop: one callback handles a whole batch of ready sockets, and batches are
bounded so that Redis, timers and the internal port get their turn.
"""

import asyncio
import errno
import os
import socket
from typing import Protocol

from common.errors import cannot_listen
from common.logs import get_logger
from common.service.graceful_close import refuse_new
from edge.counters import CloseReason
from edge.engine.poller import ERROR, HANGUP, READ, READ_HANGUP, WRITE, Poller
from edge.engine.seats import Seats
from edge.state import Seat

SOCKETS_PER_TURN = 64  # ready sockets handled before the loop may do something else: one or two milliseconds
ACCEPTS_PER_TURN = 16  # connections: a storm must not hold up deliveries
READ_BYTES = 992  # most requests; a bytes object of this size comes from the allocator's quick bins
MORE_BYTES = 7200
BACKLOG = 4096
USER_TIMEOUT_MS = 30_000  # a peer that acknowledges nothing for so long is gone
SEND_BUFFER = 65_536  # bounds what the kernel keeps for one slow client (it doubles the figure)
RESERVED_FILES = 64  # descriptors that are never given to clients: Redis, the internal port, logs
MARGIN = 128  # connections over the mark that are still accepted, to be told properly that the edge is full
FULL_PAUSE = 1.0  # seconds without accepting when there are no descriptors left
MARGIN_PAUSE = 0.05  # the same when the margin is used up: those in it are on their way out
EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ENOSPC}  # the last: epoll's watches


class Handler(Protocol):
    """What a listener tells of its connections."""

    def on_connection(self, seat: Seat) -> None:
        """A connection was accepted."""

    def on_bytes(self, seat: Seat, data: bytes) -> None:
        """A client sent something."""


class Listener:
    """Accepts clients for one edge."""

    def __init__(self, poller: Poller, seats: Seats, handler: Handler, *, max_connections: int) -> None:
        self.port = 0
        self._poller = poller
        self._seats = seats
        self._handler = handler
        self._max_connections = max_connections
        self._socket: socket.socket | None = None
        self._fd = -1
        self._paused = False
        self._log = get_logger()

    def open(self, host: str, port: int) -> None:
        """Bind, listen and begin to accept; raises SettingsError if the port cannot be had."""
        try:
            listening = _listen(host, port)
        except (OSError, UnicodeError) as error:  # UnicodeError: the host is no name that could be looked up
            raise cannot_listen("COMET_EDGE_PORT", host, port, error) from None
        self._socket, self._fd = listening, listening.fileno()
        self.port = listening.getsockname()[1]
        self._poller.register(self._fd, READ)
        asyncio.get_running_loop().add_reader(self._poller.fileno(), self.on_ready)

    def refuse_new(self) -> None:
        """Take no new connection but those whose handshake has begun: the listener will close soon."""
        if self._socket is not None:
            refuse_new(self._socket)

    def close(self) -> None:
        """Stop listening; the connections stay, and those the kernel has accepted for us already are taken."""
        if self._socket is not None:
            for _ in range(BACKLOG // ACCEPTS_PER_TURN):
                self._accept()
            if not self._paused:
                self._poller.unregister(self._fd)
            self._socket.close()
            self._socket, self._fd = None, -1

    def on_ready(self) -> None:
        """Handle a batch of ready sockets.

        New connections come last: until then no descriptor number that this batch reports can have been reused.
        """
        accept = False
        for fd, events in self._poller.poll(0, SOCKETS_PER_TURN):
            seat = self._seats.get(fd)
            if seat is not None:
                if events == READ:
                    self._read(seat)
                else:
                    self._on_event(seat, events)
            elif fd == self._fd:
                accept = True
        if accept:
            self._accept()

    def _on_event(self, seat: Seat, events: int) -> None:
        if events & (ERROR | HANGUP):
            self._seats.abort(seat, CloseReason.CLIENT)
            return
        if events & WRITE:
            self._seats.flush(seat)
        if seat.fd >= 0 and events & READ:
            self._read(seat)
        elif seat.fd >= 0 and events & READ_HANGUP:
            self._seats.abort(seat, CloseReason.CLIENT)

    def _read(self, seat: Seat) -> None:
        try:
            data = os.read(seat.fd, READ_BYTES)
            if len(data) == READ_BYTES:
                data += _rest(seat.fd)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._seats.abort(seat, CloseReason.CLIENT)
            return
        self._handler.on_bytes(seat, data)

    def _accept(self) -> None:
        if self._socket is None or self._paused:
            return
        for _ in range(ACCEPTS_PER_TURN):
            if len(self._seats) >= self._max_connections + MARGIN:
                self._pause(MARGIN_PAUSE)
                return
            try:
                # The C half of socket.accept(): the other half wraps each descriptor in an object that we would
                # only unwrap, for a tenth of what seating a subscriber costs.
                fd, _ = self._socket._accept()  # type: ignore[attr-defined]
                os.set_blocking(fd, False)
                self._handler.on_connection(self._seats.add(fd))
            except BlockingIOError:
                return
            except OSError as error:
                self._on_accept_error(error)
                return

    def _on_accept_error(self, error: OSError) -> None:
        """Out of descriptors: pause, or the loop would spin on a connection it cannot take."""
        if error.errno not in EXHAUSTED:
            return  # the client went away before we came to it
        self._log.error("no more connections can be accepted; pausing", error=error.strerror)
        self._pause(FULL_PAUSE)

    def _pause(self, seconds: float) -> None:
        """Leave who comes next in the kernel's queue for a while."""
        self._paused = True
        self._poller.unregister(self._fd)
        asyncio.get_running_loop().call_later(seconds, self._accept_again)

    def _accept_again(self) -> None:
        self._paused = False
        if self._socket is not None:
            self._poller.register(self._fd, READ)


def _rest(fd: int) -> bytes:
    """Return what else a client has sent, if anything."""
    try:
        return os.read(fd, MORE_BYTES)
    except BlockingIOError:
        return b""


def _listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; Linux hands its options down to every accepted connection."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)
        listening.setblocking(False)
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except BaseException:
        listening.close()
        raise
    return listening
