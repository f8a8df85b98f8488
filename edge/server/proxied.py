"""Connections of balancers that speak the PROXY protocol: their line is read before the handler sees anything."""

from common.errors import BadRequestError
from edge.counters import CloseReason
from edge.engine.seats import Seats
from edge.protocol.proxies.proxy_line import Preface, parse_preface
from edge.server.clients import Clients
from edge.server.handler import RequestHandler
from edge.server.listener import Address
from edge.state import IDLE, Seat


class ProxiedHandler:
    """A listener's handler in front of another one: it takes the PROXY lines, and what one address has too much of."""

    def __init__(self, handler: RequestHandler, clients: Clients, seats: Seats) -> None:
        self._handler = handler
        self._clients = clients
        self._seats = seats
        self._inbox = seats.inbox

    def on_connection(self, seat: Seat, address: Address) -> None:
        """A connection was accepted."""
        self._handler.on_connection(seat, address)
        self._enter(seat, address[0])
        if seat.fd >= 0:
            self._clients.expects_preface(seat)

    def on_bytes(self, seat: Seat, data: bytes) -> None:
        """A client sent something."""
        if seat not in self._clients.prefaced or seat.phase is not IDLE:
            self._handler.on_bytes(seat, data)
            return
        data = seat.recv_buffer + data
        try:
            preface = parse_preface(data)
        except BadRequestError as error:
            self._clients.prefaced.discard(seat)
            self._handler.answers.refuse_last(seat, error.status, error.sentence)
            return
        if preface is None:
            self._inbox.keep(seat, data)
        else:
            self._begin(seat, preface, data[preface.size :])

    def on_end(self, seat: Seat) -> None:
        """A client sends nothing more."""
        self._handler.on_end(seat)

    def _begin(self, seat: Seat, preface: Preface, rest: bytes) -> None:
        """The PROXY line is complete: what follows it is the first request."""
        self._clients.prefaced.discard(seat)
        self._inbox.forget(seat)
        if preface.address:
            self._enter(seat, preface.address)
        if rest and seat.fd >= 0:
            self._handler.on_bytes(seat, rest)

    def _enter(self, seat: Seat, address: str) -> None:
        if not self._clients.enter(seat, address):
            self._seats.abort(seat, CloseReason.REFUSED)
