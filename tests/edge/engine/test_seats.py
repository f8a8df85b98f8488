"""Seats on real sockets: who gets which bytes, whatever comes, goes and stalls."""

import os
import random
import select
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count

import pytest

from edge.counters import CloseReason, Counters
from edge.engine.outbox import Limits
from edge.engine.poller import ERROR, HANGUP, READ, READ_HANGUP, WRITE, Poller, SelectorPoller, make_poller
from edge.engine.seats import Seats
from edge.framing.base import Framing
from edge.framing.http import Variant
from edge.framing.transports import framing_for
from edge.server.listener import Listener
from edge.state import Channel, Phase, Seat

FRAMING = framing_for("stream", Variant(chunked=False))
WEBSOCKET = framing_for("ws", Variant())
MAX_PARKED = Limits().seat_bytes
POLLERS = [make_poller, SelectorPoller]
MUCH = b"".join(b"%07d\n" % number for number in range(500_000))  # more than any socket buffer takes


class Room:
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


@pytest.fixture(params=POLLERS)
def room(request: pytest.FixtureRequest) -> Iterator[Room]:
    """Yield seats on each kind of poller."""
    it = Room(request.param())
    yield it
    it.close()


def said(data: bytes) -> Callable[[Framing], bytes]:
    """Return an encoder that gives every framing the same bytes."""
    return lambda framing: data


def received(client: socket.socket, limit: int = 1 << 30) -> bytes:
    """Return what has arrived at a client, at most so much of it."""
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


def hung_up(client: socket.socket) -> bool:
    """Say whether a client that has read everything sees the end of its connection."""
    try:
        return client.recv(1) == b""
    except BlockingIOError:
        return False


# The order of a removal.


def test_a_seat_is_taken_out_of_everything_before_it_is_closed(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """S2: when the descriptor is given back, no channel, no table and no poller knows it any more."""
    seat, client = room.connect()
    fd, channel, close = seat.fd, Channel("room"), os.close
    channel.add(seat)
    room.seats.on_detach = channel.discard
    known: list[str] = []

    def note(closed: int) -> None:
        known.extend(["channel"] * bool(channel.seats))
        known.extend(["table"] * (room.seats.get(fd) is not None))
        known.extend(["poller"] * (fd in dict(room.poller.poll(0, 256))))
        known.append(f"closed {closed == fd} while fd is {seat.fd}")
        close(closed)

    client.send(b"x")  # a poller that still knows the descriptor would report this
    assert fd in dict(room.poller.poll(0, 256))
    monkeypatch.setattr(os, "close", note)
    room.seats.abort(seat, CloseReason.CLIENT)
    monkeypatch.undo()
    assert known == ["closed True while fd is -1"]


def test_the_number_is_not_free_while_a_seat_leaves(room: Room) -> None:
    """S2: whoever connects while a seat is being taken out gets another number."""
    seat, _ = room.connect()
    fd = seat.fd
    newcomers: list[Seat] = []
    room.seats.on_detach = lambda seat: newcomers.append(room.connect()[0])
    room.seats.abort(seat, CloseReason.CLIENT)
    room.seats.on_detach = lambda seat: None
    assert newcomers[0].fd != fd
    assert list(room.seats) == newcomers


def test_a_removed_seat_stays_dead(room: Room) -> None:
    """S3: the next connection with the same number is another seat; the old one reaches nobody."""
    old, old_client = room.connect()
    fd = old.fd
    room.seats.abort(old, CloseReason.CLIENT)
    new, new_client = room.connect()
    assert new.fd == fd
    assert new is not old
    room.seats.write(old, b"for the old one")
    room.seats.abort(old, CloseReason.CLIENT)
    room.seats.broadcast([old], said(b"for the old one"), 1, 1)
    assert received(new_client) == b""
    assert hung_up(old_client)
    assert room.seats.get(fd) is new


def test_a_removal_is_counted_once_with_its_reason(room: Room) -> None:
    """Removing is idempotent; the first reason is the one that counts."""
    seat, _ = room.connect()
    room.seats.abort(seat, CloseReason.CLIENT)
    room.seats.abort(seat, CloseReason.SLOW)
    assert room.counters.closed_total == {("stream", "client"): 1}
    assert room.counters.held("stream") == 0
    assert len(room.seats) == 0


def test_a_client_that_went_is_removed_by_the_next_write(room: Room) -> None:
    """A broken connection found by a broadcast costs nobody else the message."""
    (before, before_client), (gone, gone_client), (after, after_client) = (room.connect() for _ in range(3))
    gone_client.close()
    assert room.seats.broadcast([before, gone, after], said(b"hi"), 1, 1) == []
    assert (received(before_client), received(after_client)) == (b"hi", b"hi")
    assert gone.fd == -1
    assert room.counters.delivered_total["stream"] == 2


def test_a_client_that_went_is_removed_by_a_single_write(room: Room) -> None:
    """The same for bytes that are meant for one."""
    seat, client = room.connect()
    client.close()
    room.seats.write(seat, b"hi")
    assert seat.fd == -1


# Broadcasts.


def test_those_off_the_fast_path_are_returned_untouched(room: Room) -> None:
    """A seat that needs its own bytes is left to the caller."""
    (fast_path, direct_client), (other, other_client) = room.connect(), room.connect(shares_bytes=False)
    assert room.seats.broadcast([fast_path, other], said(b"hi"), 1, 1) == [other]
    assert (received(direct_client), received(other_client)) == (b"hi", b"")


def test_each_seat_gets_the_bytes_of_its_framing(room: Room) -> None:
    """Framings may alternate; deliveries are counted for each."""
    framings = [framing_for(name, Variant()) for name in ("sse", "stream", "stream", "sse")]
    pairs = [room.connect() for _ in framings]
    for (seat, _), framing in zip(pairs, framings, strict=True):
        seat.framing = framing
    room.seats.broadcast([seat for seat, _ in pairs], lambda framing: framing.transport.encode(), 3, 1)
    assert [received(client) for _, client in pairs] == [b"sse", b"stream", b"stream", b"sse"]
    assert room.counters.delivered_total == {"sse": 6, "stream": 6}


# Parking.


def test_a_full_socket_parks_and_goes_on_in_order(room: Room) -> None:
    """S4: what the kernel does not take waits in the outbox, later bytes behind it, until all has gone."""
    seat, client = room.connect()
    assert room.seats.broadcast([seat], said(MUCH), 1, 1) == []
    assert seat.send_buffer is not None
    assert not seat.fast_path
    assert room.seats.broadcast([seat], said(b"never"), 1, 1) == [seat]
    due = MUCH[: len(MUCH) - len(seat.send_buffer) + MAX_PARKED // 2]
    del seat.send_buffer[MAX_PARKED // 2 :]  # so that more may queue behind it
    room.seats.write(seat, b"[second]")
    room.seats.write(seat, b"[third]")
    taken = b""
    while seat.send_buffer is not None:
        data = received(client)
        assert data, "nothing came though something is parked"
        taken += data
        assert room.events(seat) & WRITE
        room.seats.flush(seat)
    taken += received(client)
    assert taken == due + b"[second][third]"
    assert seat.fast_path
    assert not room.events(seat) & WRITE


def test_a_parked_seat_keeps_nobody_waiting(room: Room) -> None:
    """S4: everybody else gets the message at once."""
    (slow, _), (quick, quick_client) = room.connect(), room.connect()
    room.seats.write(slow, MUCH)
    assert room.seats.broadcast([slow, quick], said(b"hi"), 1, 1) == [slow]
    assert received(quick_client) == b"hi"


def test_a_flush_into_a_full_socket_changes_nothing(room: Room) -> None:
    """A flush that the kernel takes nothing of leaves everything as it was."""
    seat, _ = room.connect()
    room.seats.write(seat, MUCH)
    room.seats.flush(seat)
    parked = bytes(seat.send_buffer or b"")
    room.seats.flush(seat)
    assert parked
    assert bytes(seat.send_buffer or b"") == parked


def test_a_flush_of_nothing_does_nothing(room: Room) -> None:
    """The poller may report a seat that was flushed meanwhile."""
    seat, client = room.connect()
    room.seats.flush(seat)
    assert received(client) == b""


def test_a_seat_over_the_limit_is_removed_as_slow(room: Room) -> None:
    """S5: what is parked is bounded; the seat that has more parked than allowed goes when more arrives."""
    seat, _ = room.connect()
    room.seats.write(seat, MUCH)
    assert seat.fd >= 0
    room.seats.write(seat, b"one more")
    assert seat.fd == -1
    assert room.counters.closed_total["stream", "slow"] == 1


def test_a_seat_under_the_limit_stays(room: Room) -> None:
    """S5: up to the limit everything is kept."""
    seat, _ = room.connect()
    room.seats.write(seat, MUCH)
    assert seat.send_buffer is not None
    del seat.send_buffer[MAX_PARKED:]
    room.seats.write(seat, b"one more")
    assert seat.send_buffer.endswith(b"one more")


def test_a_seat_that_does_not_share_does_not_come_onto_the_fast_path(room: Room) -> None:
    """After its outbox has gone, a seat is as it was before."""
    seat, client = room.connect(shares_bytes=False)
    room.seats.write(seat, MUCH)
    while seat.send_buffer is not None:
        assert received(client)
        room.seats.flush(seat)
    assert not seat.fast_path


def test_a_client_that_goes_while_bytes_are_parked_is_removed(room: Room) -> None:
    """A flush into a broken connection ends the seat."""
    seat, client = room.connect()
    room.seats.write(seat, MUCH)
    client.close()
    room.seats.flush(seat)
    assert seat.fd == -1


# The end of a connection.


def test_a_goodbye_comes_whole_and_last(room: Room) -> None:
    """The client reads everything, then the end; our descriptor stays until the client has gone, too."""
    seat, client = room.connect()
    room.seats.write(seat, b"first")
    room.seats.close(seat, b"bye", CloseReason.DRAIN)
    assert received(client) == b"firstbye"
    assert hung_up(client)
    assert seat.fd >= 0
    assert seat.phase is Phase.ENDING
    assert room.counters.closed_total == {("stream", "drain"): 1}


def test_a_goodbye_waits_behind_what_is_parked(room: Room) -> None:
    """The end is sent when the outbox has gone, and not before."""
    seat, client = room.connect()
    room.seats.write(seat, MUCH)
    assert seat.send_buffer is not None
    del seat.send_buffer[MAX_PARKED:]
    room.seats.close(seat, b"bye", CloseReason.DRAIN)
    taken = b""
    while seat.send_buffer is not None:
        taken += received(client)
        assert not hung_up(client)
        room.seats.flush(seat)
    taken += received(client)
    assert taken.endswith(b"\nbye")
    assert hung_up(client)


def test_a_freed_seat_keeps_its_connection(room: Room) -> None:
    """After an answer the connection is free for another request."""
    seat, client = room.connect()
    room.seats.detach(seat, CloseReason.ANSWERED)
    assert (seat.framing, room.counters.held("stream")) == (None, 0)
    room.seats.write(seat, b"next answer")
    assert received(client) == b"next answer"


# What the poller tells.


def test_a_seat_that_is_not_read_is_not_reported(room: Room) -> None:
    """Bytes that wait stay unreported until they are wanted; bytes parked are flushed all the same."""
    seat, client = room.connect()
    client.send(b"hello")
    assert room.events(seat) & READ
    room.seats.pause_reading(seat)
    assert not room.events(seat) & READ
    room.seats.write(seat, MUCH)
    room.seats.pause_reading(seat)
    received(client)
    assert room.events(seat) & WRITE
    room.seats.resume_reading(seat)
    assert room.events(seat) & READ


def test_a_client_that_hangs_up_is_reported(room: Room) -> None:
    """A hang-up shows as something to read, or as what it is."""
    seat, client = room.connect()
    assert room.events(seat) == 0
    client.close()
    assert room.events(seat) & (READ | READ_HANGUP | HANGUP)


@pytest.mark.skipif(not hasattr(select, "epoll"), reason="epoll is Linux")
def test_our_numbers_are_epolls() -> None:
    """The literals used on every platform are those of epoll."""
    theirs = (select.EPOLLIN, select.EPOLLOUT, select.EPOLLERR, select.EPOLLHUP, select.EPOLLRDHUP)
    assert theirs == (READ, WRITE, ERROR, HANGUP, READ_HANGUP)


def test_pollers_nest(room: Room) -> None:
    """A poller's own descriptor is readable when one of its seats is."""
    _, client = room.connect()
    assert select.select([room.poller.fileno()], [], [], 0)[0] == []
    client.send(b"x")
    assert select.select([room.poller.fileno()], [], [], 0)[0] == [room.poller.fileno()]


# The walk: thousands of random steps, and nobody ever reads a byte that is not for them.


class Walker:
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


class Desk:
    """Stands where the front desk stands: what a seat says must be what its own client said."""

    def __init__(self) -> None:
        self.owners: dict[Seat, int] = {}

    def on_bytes(self, seat: Seat, data: bytes) -> None:
        """Take the bytes of a seat."""
        assert set(data.split()) == {b"%d" % self.owners[seat]}, f"a seat got {data[-200:]!r}"


class Walk:
    """Random steps over seats, channels, clients, and strangers who get the descriptor numbers in between."""

    CHANNELS = 4
    MOST_CLIENTS = 24

    def __init__(self, seed: int, poller: Poller, make_seats: Callable[..., Seats]) -> None:
        self.random = random.Random(seed)
        self.counters = Counters()
        self.poller = poller
        self.seats = make_seats(poller, self.counters, limits=Limits(20_000))
        self.seats.on_detach = self._on_leave
        self.desk = Desk()
        self.listener = Listener(poller, self.seats, self.desk, max_connections=1000)  # type: ignore[arg-type]
        self.channels = [Channel(str(number)) for number in range(self.CHANNELS)]
        self.clients: list[Walker] = []
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
            *[self.somebody_reads] * 5,
            *[self.slow_one_reads],
            *[self.somebody_speaks] * 2,
            *[self.poll] * 4,
            self.stranger_comes,
            self.stranger_goes,
        ]

    def run(self, steps: int) -> None:
        """Take so many steps, looking at the invariants after each, then let everybody read to the end."""
        for _ in range(steps):
            self.random.choice(self.deeds)()
            self.check()
        self.finish()

    # What can happen.

    def open(self) -> None:
        """Somebody connects."""
        if len(self.seats) >= self.MOST_CLIENTS:
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
        client = Walker(next(self.names), theirs, seat, slow=self.random.random() < 0.25)
        self.desk.owners[seat] = client.name
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

    def somebody_reads(self) -> None:
        """A client reads a little or much."""
        if (client := self._some_client()) and not client.slow:
            client.read(self.random.choice([1, 100, 100_000]))

    def slow_one_reads(self) -> None:
        """One that did not read for long reads."""
        if client := self._some_client():
            client.read(self.random.choice([3000, 100_000]))

    def somebody_speaks(self) -> None:
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
        """A stranger's connection is closed; nobody of us ever wrote to it."""
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
        """Everybody reads on to the end: who was not removed has all it should have, nobody has more."""
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

    def _some_client(self) -> Walker | None:
        present = [client for client in self.clients if not client.closed and client.seat.fd >= 0]
        return self.random.choice(present) if present else None

    def _on_leave(self, seat: Seat) -> None:
        """Let somebody come in the middle of a removal: the number must not be free yet."""
        self.random.choice([self.open, self.stranger_comes, self.stranger_goes])()
        self._leave_all(seat)

    def _leave_all(self, seat: Seat) -> None:
        for channel in seat.channels:
            channel.discard(seat)
        seat.channels = ()


STEPS = 10_000


@pytest.mark.parametrize("make", POLLERS)
@pytest.mark.parametrize("seed", range(5))
def test_nobody_ever_gets_what_is_not_theirs(seed: int, make: Callable[[], Poller]) -> None:
    """Every client reads exactly what its channels got while it was in them, in order; 50,000 steps on each poller."""
    walk = Walk(seed, make(), Seats)
    try:
        walk.run(STEPS)
        assert walk.reused > 50, "the walk did not reuse descriptors"
        assert walk.parked > 50, "the walk did not fill sockets"
        assert walk.counters.closed_total["stream", "slow"] > 0, "the walk removed nobody as slow"
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
    """Closes a connection first and takes its seat out later, as soon as somebody else has come."""

    def __init__(self, poller: Poller, counters: Counters, *, limits: Limits) -> None:
        super().__init__(poller, counters, limits=limits)
        self._late: list[Seat] = []

    def add(self, fd: int) -> Seat:
        """Seat a newcomer, then take out who was closed."""
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

    def write(self, seat: Seat, data: bytes) -> None:
        """Do it wrong."""
        parked, seat.send_buffer = seat.send_buffer, None
        super().write(seat, data)
        seat.send_buffer = (parked or bytearray()) + (seat.send_buffer or bytearray()) or None


@pytest.mark.parametrize("careless", [ForgetfulSeats, HastySeats, UnorderedSeats])
def test_the_walk_finds_careless_seats(careless: type[Seats], monkeypatch: pytest.MonkeyPatch) -> None:
    """The walk is able to fail: seats that close too early or write out of order do not survive it."""
    walk = Walk(1, make_poller(), careless)
    monkeypatch.setattr(walk, "check", lambda: None)  # what is read must be enough to tell
    walk.deeds.remove(walk.we_end)  # it would notice a closed number before anybody is harmed
    try:
        with pytest.raises(AssertionError, match="got"):
            walk.run(STEPS)
    finally:
        walk.close()
