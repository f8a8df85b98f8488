"""Seats: thousands of random steps, and no client ever reads a byte that is not its own."""

import os
import random
import socket
from collections.abc import Callable
from contextlib import suppress
from itertools import count

import pytest

from edge.counters import CloseReason, Counters
from edge.engine.outbox import Limits
from edge.engine.poller import Poller, make_poller
from edge.engine.seats import Seats
from edge.framing.http import Variant
from edge.framing.transports import framing_for
from edge.server.listener import Address, Listener
from edge.state import Channel, Phase, Seat
from tests.edge.seats_on_sockets import FRAMING, POLLERS, received, said
from tests.pure_only import pure_only

STEPS = 10_000
WEBSOCKET = framing_for("ws", Variant())


class WalkingClient:
    """One client of the walk: what it said and read, and what it should have read."""

    def __init__(self, name: int, sock: socket.socket, seat: Seat, *, slow: bool) -> None:
        self.name, self.socket, self.seat, self.slow = name, sock, seat, slow
        self.too_slow = seat.framing.too_slow if seat.framing is not None else b""
        self.due = b""  # everything that was sent to its channels while it was in them
        self.ends = {0}  # where in it a message ends
        self.got = b""
        self.closed = False  # by itself

    def read(self, limit: int) -> None:
        """Take what has arrived: it must go on exactly where the last byte stopped."""
        self.got += received(self.socket, limit)
        expected = self.due if self.due.startswith(self.got) or not self.too_slow else self._cut_short()
        assert expected.startswith(self.got), f"client {self.name} got {self.got[-200:]!r} for {self.due[-200:]!r}"

    def _cut_short(self) -> bytes:
        """Return what a WebSocket may get that was too slow: whole messages, and then the frame that says so."""
        pairs = zip(self.due, self.got, strict=False)
        whole = next((at for at, (due, got) in enumerate(pairs) if due != got), len(self.due))
        assert whole in self.ends, f"client {self.name} got its end in the middle of a message"
        return self.due[:whole] + self.too_slow


class OwnerCheckingHandler:
    """Stands in for `RequestHandler`: what a seat says must be what its own client said."""

    def __init__(self, seats: Seats) -> None:
        self.owners: dict[Seat, int] = {}
        self.seats = seats

    def on_connection(self, seat: Seat, address: Address) -> None:
        """No client connects in a walk: `open` makes its seat."""

    def on_bytes(self, seat: Seat, data: bytes) -> None:
        """Take the bytes of a seat."""
        assert set(data.split()) == {b"%d" % self.owners[seat]}, f"a seat got {data[-200:]!r}"

    def on_end(self, seat: Seat) -> None:
        """A client has closed its connection."""
        self.seats.abort(seat, CloseReason.CLIENT)


class Walk:
    """Random steps over seats, channels, clients, and strangers that get the descriptor numbers in between."""

    CHANNELS = 4
    MAX_CLIENTS = 24

    def __init__(self, seed: int, poller: Poller, make_seats: Callable[..., Seats]) -> None:
        self.random = random.Random(seed)
        self.counters = Counters()
        self.poller = poller
        self.seats = make_seats(poller, self.counters, limits=Limits(20_000))
        self.seats.on_detach = self._on_leave
        self.handler = OwnerCheckingHandler(self.seats)
        self.listener = Listener(poller, self.seats, self.handler, max_connections=1000)
        self.channels = [Channel(str(number)) for number in range(self.CHANNELS)]
        self.clients: list[WalkingClient] = []
        self.strangers: list[tuple[socket.socket, socket.socket]] = []
        self.names = count(1)
        self.numbers = count(1)
        self.parked = self.reused = 0
        self.numbers_seen: set[int] = set()
        self.deeds = [
            *[self.open] * 4,
            self.client_closes,
            self.we_remove,
            self.we_end,
            *[self.join] * 4,
            self.leave,
            *[self.broadcast] * 8,
            *[self.a_client_reads] * 5,
            *[self.a_slow_client_reads],
            *[self.a_client_sends] * 2,
            *[self.poll] * 4,
            self.stranger_comes,
            self.stranger_goes,
        ]

    def run(self, steps: int) -> None:
        """Take some steps, looking at the invariants after each, then let every client read to the end."""
        for _ in range(steps):
            self.random.choice(self.deeds)()
            self.check()
        self.finish()

    # What can happen.

    def open(self) -> None:
        """A client connects."""
        if len(self.seats) >= self.MAX_CLIENTS:
            return
        ours, theirs = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        ours.setblocking(False)
        theirs.setblocking(False)
        fd = ours.detach()
        self.reused += fd in self.numbers_seen
        self.numbers_seen.add(fd)
        seat = self.seats.add(fd)
        seat.framing = self.random.choice([FRAMING, WEBSOCKET])
        seat.shares_bytes = seat.fast_path = self.random.random() < 0.8
        client = WalkingClient(next(self.names), theirs, seat, slow=self.random.random() < 0.25)
        self.handler.owners[seat] = client.name
        self.clients.append(client)

    def client_closes(self) -> None:
        """A client goes away without a word."""
        if client := self._some_client():
            client.closed = True
            client.socket.close()

    def we_remove(self) -> None:
        """We close a connection."""
        if client := self._some_client():
            self.seats.abort(client.seat, CloseReason.CLIENT)

    def we_end(self) -> None:
        """We say goodbye."""
        client = self._some_client()
        if client and client.seat.phase is not Phase.ENDING:
            client.due += b"bye"
            client.ends.add(len(client.due))
            self.seats.close(client.seat, b"bye", CloseReason.CLIENT)

    def join(self) -> None:
        """A seat joins a channel."""
        client, channel = self._some_client(), self.random.choice(self.channels)
        if client and client.seat.phase is not Phase.ENDING and channel not in client.seat.channels:
            client.seat.channels += (channel,)
            channel.add(client.seat)

    def leave(self) -> None:
        """A seat leaves its channels, and stays connected."""
        if client := self._some_client():
            self._leave_all(client.seat)

    def broadcast(self) -> None:
        """A channel gets a message; each has its own number, so that every byte tells where it belongs."""
        channel = self.random.choice(self.channels)
        data = b"<%s:%d>" % (channel.name.encode(), next(self.numbers)) * self.random.choice([1, 1, 1, 1, 1, 100, 1000])
        for client in self.clients:
            if client.seat in channel.seats:
                client.due += data
                client.ends.add(len(client.due))
        for seat in self.seats.broadcast(channel.seats, said(data), 1, 1):
            self.seats.write(seat, data)

    def a_client_reads(self) -> None:
        """A client reads a little or much."""
        if (client := self._some_client()) and not client.slow:
            client.read(self.random.choice([1, 100, 100_000]))

    def a_slow_client_reads(self) -> None:
        """One that did not read for long reads."""
        if client := self._some_client():
            client.read(self.random.choice([3000, 100_000]))

    def a_client_sends(self) -> None:
        """A client says its own name."""
        if client := self._some_client():
            with suppress(OSError):  # its connection has ended, or is full
                client.socket.send(b"%d " % client.name)

    def poll(self) -> None:
        """The edge handles what the poller reports."""
        self.listener.on_ready()

    def stranger_comes(self) -> None:
        """Another part of the process opens a connection: it may get a number that a seat had."""
        if len(self.strangers) < 5:
            pair = socket.socketpair()
            for sock in pair:
                sock.setblocking(False)
            self.strangers.append(pair)

    def stranger_goes(self) -> None:
        """A stranger's connection is closed; no seat ever wrote to it."""
        if self.strangers:
            pair = self.random.choice(self.strangers)
            assert [received(sock) for sock in pair] == [b"", b""], "a stranger got bytes"
            self.strangers.remove(pair)
            for sock in pair:
                sock.close()

    # What must hold.

    def check(self) -> None:
        """After every step: the living are in the table under their numbers, and channels hold only the living."""
        for channel in self.channels:
            for seat in channel.seats:
                assert seat.fd >= 0, "a removed seat is still in a channel"
                assert channel in seat.channels
        for client in self.clients:
            seat = client.seat
            assert seat.fd < 0 or self.seats.get(seat.fd) is seat, "a living seat is not in the table"
            if seat.fd >= 0 and seat.phase is not Phase.ENDING:
                self.parked += seat.send_buffer is not None
                assert not (seat.fast_path and seat.send_buffer is not None), "a parked seat is on the fast path"

    def finish(self) -> None:
        """Every client reads on to the end: one that was not removed has all it should have, none has more."""
        for _ in range(10_000):
            before = sum(len(client.got) for client in self.clients)
            for client in self.clients:
                if not client.closed:
                    client.read(1 << 20)
            self.poll()
            if sum(len(client.got) for client in self.clients) == before and not any(s.send_buffer for s in self.seats):
                break
        for client in self.clients:
            if not client.closed and client.seat.fd >= 0 and not client.got.endswith(client.too_slow or b"none"):
                assert client.got == client.due, f"client {client.name} did not get everything"
        while self.strangers:
            self.stranger_goes()

    def close(self) -> None:
        """Close every socket."""
        self.seats.on_detach = lambda seat: None
        for seat in self.seats:
            self.seats.abort(seat, CloseReason.CLIENT)
        for client in self.clients:
            client.socket.close()
        for pair in self.strangers:
            for sock in pair:
                sock.close()
        self.poller.close()

    def _some_client(self) -> WalkingClient | None:
        present = [client for client in self.clients if not client.closed and client.seat.fd >= 0]
        return self.random.choice(present) if present else None

    def _on_leave(self, seat: Seat) -> None:
        """Let a client come in the middle of a removal: the number must not be free yet."""
        self.random.choice([self.open, self.stranger_comes, self.stranger_goes])()
        self._leave_all(seat)

    def _leave_all(self, seat: Seat) -> None:
        for channel in seat.channels:
            channel.discard(seat)
        seat.channels = ()


@pytest.mark.parametrize("make", POLLERS)
@pytest.mark.parametrize("seed", range(5))
def test_no_client_ever_gets_what_is_not_its_own(seed: int, make: Callable[[], Poller]) -> None:
    """Every client reads exactly what its channels got while it was in them, in order; 50,000 steps on each poller."""
    walk = Walk(seed, make(), Seats)
    try:
        walk.run(STEPS)
        assert walk.reused > 50, "the walk did not reuse descriptors"
        assert walk.parked > 50, "the walk did not fill sockets"
        assert walk.counters.closed_total["stream", "slow"] > 0, "the walk removed no client as slow"
        assert any(client.got.endswith(client.too_slow) for client in walk.clients if client.too_slow), "nor told"
    finally:
        walk.close()


class ForgetfulSeats(Seats):
    """Closes a connection and leaves its seat as it was, in its channels."""

    def abort(self, seat: Seat, reason: CloseReason) -> None:
        """Do it wrong."""
        if self._by_fd.pop(seat.fd, None) is seat:
            self._poller.unregister(seat.fd)
            os.close(seat.fd)


class HastySeats(Seats):
    """Closes a connection first and takes its seat out later, as soon as another client has come."""

    def __init__(self, poller: Poller, counters: Counters, *, limits: Limits) -> None:
        super().__init__(poller, counters, limits=limits)
        self._late: list[Seat] = []

    def add(self, fd: int) -> Seat:
        """Seat a newcomer, then take out the seats that were closed."""
        seat = super().add(fd)
        for gone in self._late:
            self.on_detach(gone)
            gone.fd = -1
        self._late.clear()
        return seat

    def abort(self, seat: Seat, reason: CloseReason) -> None:
        """Do it in the wrong order."""
        if seat.fd >= 0 and self._by_fd.pop(seat.fd, None) is not None:
            self._poller.unregister(seat.fd)
            os.close(seat.fd)
            self._late.append(seat)


class UnorderedSeats(Seats):
    """Writes past what is parked."""

    def write(self, seat: Seat, data: bytes, head: bytes = b"") -> None:
        """Do it wrong."""
        super().write(seat, data, head)
        if seat.send_buffer is not None:
            seat.send_buffer.chunks.rotate()


@pure_only
@pytest.mark.parametrize("careless", [ForgetfulSeats, HastySeats, UnorderedSeats])
def test_the_walk_finds_careless_seats(careless: type[Seats], monkeypatch: pytest.MonkeyPatch) -> None:
    """The walk is able to fail: seats that close too early or write out of order do not survive it."""
    walk = Walk(2, make_poller(), careless)
    monkeypatch.setattr(walk, "check", lambda: None)  # what is read must be enough to tell
    walk.deeds.remove(walk.we_end)  # it would notice a closed number before a client is harmed
    try:
        with pytest.raises(AssertionError, match="got"):
            walk.run(STEPS)
    finally:
        walk.close()
