"""Seats on real sockets: each client gets its own bytes, whatever comes, goes and stalls."""

import os
import socket

import pytest

from edge.counters import CloseReason
from edge.engine.outbox import Limits
from edge.engine.poller import READ, WRITE
from edge.engine.seats import LONG_DATA
from edge.framing.base import SHORT_DATA
from edge.framing.http import Variant
from edge.framing.transports import framing_for
from edge.state import Channel, Phase, Seat
from tests.edge.seats_on_sockets import SeatsOnSockets, received, said, unsent

MAX_PARKED = Limits().seat_bytes
MUCH = b"".join(b"%07d\n" % number for number in range(500_000))  # more than any socket buffer takes


def hung_up(client: socket.socket) -> bool:
    """Say whether a client that has read everything sees the end of its connection."""
    try:
        return client.recv(1) == b""
    except BlockingIOError:
        return False


# The order of a removal.


def test_a_seat_is_taken_out_of_everything_before_it_is_closed(
    sockets: SeatsOnSockets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S2: when the descriptor is given back, no channel, no table and no poller knows it any more."""
    seat, client = sockets.connect()
    fd, channel, close = seat.fd, Channel("room"), os.close
    channel.add(seat)
    sockets.seats.on_detach = channel.discard
    known: list[str] = []

    def note(closed: int) -> None:
        known.extend(["channel"] * bool(channel.seats))
        known.extend(["table"] * (sockets.seats.get(fd) is not None))
        known.extend(["poller"] * (fd in dict(sockets.poller.poll(0, 256))))
        known.append(f"closed {closed == fd} while fd is {seat.fd}")
        close(closed)

    client.send(b"x")  # a poller that still knows the descriptor would report this
    assert fd in dict(sockets.poller.poll(0, 256))
    monkeypatch.setattr(os, "close", note)
    sockets.seats.abort(seat, CloseReason.CLIENT)
    monkeypatch.undo()
    assert known == ["closed True while fd is -1"]


def test_the_number_is_not_free_while_a_seat_leaves(sockets: SeatsOnSockets) -> None:
    """S2: a client that connects while a seat is being taken out gets another number."""
    seat, _ = sockets.connect()
    fd = seat.fd
    newcomers: list[Seat] = []
    sockets.seats.on_detach = lambda seat: newcomers.append(sockets.connect()[0])
    sockets.seats.abort(seat, CloseReason.CLIENT)
    sockets.seats.on_detach = lambda seat: None
    assert newcomers[0].fd != fd
    assert list(sockets.seats) == newcomers


def test_a_removed_seat_stays_dead(sockets: SeatsOnSockets) -> None:
    """S3: the next connection with the same number is another seat; the old one reaches no client."""
    old, old_client = sockets.connect()
    fd = old.fd
    sockets.seats.abort(old, CloseReason.CLIENT)
    new, new_client = sockets.connect()
    assert new.fd == fd
    assert new is not old
    sockets.seats.write(old, b"for the old one")
    sockets.seats.abort(old, CloseReason.CLIENT)
    sockets.seats.broadcast([old], said(b"for the old one"), 1, 1)
    assert received(new_client) == b""
    assert hung_up(old_client)
    assert sockets.seats.get(fd) is new


def test_a_removal_is_counted_once_with_its_reason(sockets: SeatsOnSockets) -> None:
    """Removing is idempotent; the first reason is the one that counts."""
    seat, _ = sockets.connect()
    sockets.seats.abort(seat, CloseReason.CLIENT)
    sockets.seats.abort(seat, CloseReason.SLOW)
    assert sockets.counters.closed_total == {("stream", "client"): 1}
    assert sockets.counters.held("stream") == 0
    assert len(sockets.seats) == 0


def test_a_client_that_went_is_removed_by_the_next_write(sockets: SeatsOnSockets) -> None:
    """A broken connection found by a broadcast costs no other client the message."""
    (before, before_client), (gone, gone_client), (after, after_client) = (sockets.connect() for _ in range(3))
    gone_client.close()
    assert sockets.seats.broadcast([before, gone, after], said(b"hi"), 1, 1) == []
    assert (received(before_client), received(after_client)) == (b"hi", b"hi")
    assert gone.fd == -1
    assert sockets.counters.delivered_total["stream"] == 2


def test_a_client_that_went_is_removed_by_a_single_write(sockets: SeatsOnSockets) -> None:
    """The same for bytes that are meant for one."""
    seat, client = sockets.connect()
    client.close()
    sockets.seats.write(seat, b"hi")
    assert seat.fd == -1


# Broadcasts.


def test_those_off_the_fast_path_are_returned_untouched(sockets: SeatsOnSockets) -> None:
    """A seat that needs its own bytes is left to the caller."""
    (fast_path, direct_client), (other, other_client) = sockets.connect(), sockets.connect(shares_bytes=False)
    assert sockets.seats.broadcast([fast_path, other], said(b"hi"), 1, 1) == [other]
    assert (received(direct_client), received(other_client)) == (b"hi", b"")


def test_each_seat_gets_the_bytes_of_its_framing(sockets: SeatsOnSockets) -> None:
    """Framings may alternate; deliveries are counted for each."""
    framings = [framing_for(name, Variant()) for name in ("sse", "stream", "stream", "sse")]
    pairs = [sockets.connect() for _ in framings]
    for (seat, _), framing in zip(pairs, framings, strict=True):
        seat.framing = framing
    sockets.seats.broadcast([seat for seat, _ in pairs], lambda framing: framing.transport.encode(), 3, 1)
    assert [received(client) for _, client in pairs] == [b"sse", b"stream", b"stream", b"sse"]
    assert sockets.counters.delivered_total == {"sse": 6, "stream": 6}


# Parking.


def test_a_full_socket_parks_and_goes_on_in_order(sockets: SeatsOnSockets) -> None:
    """S4: what the kernel does not take waits in the outbox, later bytes behind it, until all has gone."""
    seat, client = sockets.connect()
    assert sockets.seats.broadcast([seat], said(MUCH), 1, 1) == []
    assert seat.send_buffer is not None
    assert not seat.fast_path
    assert sockets.seats.broadcast([seat], said(b"never"), 1, 1) == [seat]
    sockets.seats.write(seat, b"[second]")
    sockets.seats.write(seat, b"[third]")
    taken = b""
    while seat.send_buffer is not None:
        data = received(client)
        assert data, "nothing came though something is parked"
        taken += data
        assert sockets.events(seat) & WRITE
        sockets.seats.flush(seat)
    taken += received(client)
    assert taken == MUCH + b"[second][third]"
    assert seat.fast_path
    assert not sockets.events(seat) & WRITE


def test_a_parked_seat_keeps_no_other_waiting(sockets: SeatsOnSockets) -> None:
    """S4: all others get the message at once."""
    (slow, _), (quick, quick_client) = sockets.connect(), sockets.connect()
    sockets.seats.write(slow, MUCH)
    assert sockets.seats.broadcast([slow, quick], said(b"hi"), 1, 1) == [slow]
    assert received(quick_client) == b"hi"


def test_a_flush_into_a_full_socket_changes_nothing(sockets: SeatsOnSockets) -> None:
    """A flush that the kernel takes nothing of leaves everything as it was."""
    seat, _ = sockets.connect()
    sockets.seats.write(seat, MUCH)
    sockets.seats.flush(seat)
    parked = unsent(seat)
    sockets.seats.flush(seat)
    assert parked
    assert unsent(seat) == parked


@pytest.mark.parametrize("size", [1, SHORT_DATA - 1, SHORT_DATA, LONG_DATA, LONG_DATA + 1, 3 * LONG_DATA])
def test_what_is_a_seats_own_comes_before_what_it_shares(sockets: SeatsOnSockets, size: int) -> None:
    """However long that is, and whatever waits before it."""
    seat, client = sockets.connect()
    shared = b"m" * size
    sockets.seats.write(seat, b"own", (shared,))
    sockets.seats.write(seat, b"again", (shared,))
    taken = b""
    while seat.send_buffer is not None:
        sockets.seats.flush(seat)
        taken += received(client)
    taken += received(client)
    assert taken == b"own" + shared + b"again" + shared
    assert sockets.seats.outbox.parked_bytes == 0


def test_what_is_long_is_not_written_at_once(sockets: SeatsOnSockets) -> None:
    """Thousands that ask for much would keep the loop busy; what is parked is the object itself."""
    seat, client = sockets.connect()
    data = bytes(LONG_DATA + 1)
    sockets.seats.write(seat, data)
    assert (received(client), sockets.events(seat) & WRITE) == (b"", WRITE)
    assert seat.send_buffer is not None
    assert seat.send_buffer.chunks[0] is data


def test_a_broadcast_parks_the_bytes_of_all(sockets: SeatsOnSockets) -> None:
    """A message that all are behind on is kept, and counted, once."""
    seats = [sockets.connect()[0] for _ in range(3)]
    sockets.seats.broadcast(seats, said(MUCH), 1, 1)
    assert all(seat.send_buffer is not None and seat.send_buffer.chunks[0] is MUCH for seat in seats)
    assert sockets.seats.outbox.parked_bytes == len(MUCH)


def test_a_flush_of_nothing_does_nothing(sockets: SeatsOnSockets) -> None:
    """The poller may report a seat that was flushed meanwhile."""
    seat, client = sockets.connect()
    sockets.seats.flush(seat)
    assert received(client) == b""


def test_a_seat_over_the_limit_is_removed_as_slow(sockets: SeatsOnSockets) -> None:
    """S5: what is parked is bounded; the seat that has more parked than allowed goes when more arrives."""
    seat, _ = sockets.connect()
    sockets.seats.write(seat, MUCH)
    sockets.seats.write(seat, MUCH)  # the first of them may be of any size
    assert seat.fd >= 0
    sockets.seats.write(seat, b"one more")
    assert seat.fd == -1
    assert sockets.counters.closed_total["stream", "slow"] == 1


def test_a_seat_under_the_limit_stays(sockets: SeatsOnSockets) -> None:
    """S5: up to the limit everything is kept."""
    seat, _ = sockets.connect()
    sockets.seats.write(seat, MUCH)
    sockets.seats.write(seat, b"m" * MAX_PARKED)
    sockets.seats.write(seat, b"one more")
    assert unsent(seat).endswith(b"one more")


def test_a_seat_that_does_not_share_does_not_come_onto_the_fast_path(sockets: SeatsOnSockets) -> None:
    """After its outbox has gone, a seat is as it was before."""
    seat, client = sockets.connect(shares_bytes=False)
    sockets.seats.write(seat, MUCH)
    while seat.send_buffer is not None:
        sockets.seats.flush(seat)
        assert received(client)
    assert not seat.fast_path


def test_a_client_that_goes_while_bytes_are_parked_is_removed(sockets: SeatsOnSockets) -> None:
    """A flush into a broken connection ends the seat."""
    seat, client = sockets.connect()
    sockets.seats.write(seat, MUCH)
    client.close()
    sockets.seats.flush(seat)
    assert seat.fd == -1


# The end of a connection.


def test_a_goodbye_comes_whole_and_last(sockets: SeatsOnSockets) -> None:
    """The client reads everything, then the end; our descriptor stays until the client has gone, too."""
    seat, client = sockets.connect()
    sockets.seats.write(seat, b"first")
    sockets.seats.close(seat, b"bye", CloseReason.DRAIN)
    assert received(client) == b"firstbye"
    assert hung_up(client)
    assert seat.fd >= 0
    assert seat.phase is Phase.ENDING
    assert sockets.counters.closed_total == {("stream", "drain"): 1}


def test_a_goodbye_waits_behind_what_is_parked(sockets: SeatsOnSockets) -> None:
    """The end is sent when the outbox has gone, and not before."""
    seat, client = sockets.connect()
    sockets.seats.write(seat, MUCH)
    sockets.seats.close(seat, b"bye", CloseReason.DRAIN)
    taken = b""
    while seat.send_buffer is not None:
        taken += received(client)
        assert not hung_up(client)
        sockets.seats.flush(seat)
    taken += received(client)
    assert taken.endswith(b"\nbye")
    assert hung_up(client)


def test_a_freed_seat_keeps_its_connection(sockets: SeatsOnSockets) -> None:
    """After an answer the connection is free for another request."""
    seat, client = sockets.connect()
    sockets.seats.detach(seat, CloseReason.ANSWERED)
    assert (seat.framing, sockets.counters.held("stream")) == (None, 0)
    sockets.seats.write(seat, b"next answer")
    assert received(client) == b"next answer"


# What the poller tells.


def test_a_seat_that_is_not_read_is_not_reported(sockets: SeatsOnSockets) -> None:
    """Bytes that wait stay unreported until they are wanted; bytes parked are flushed all the same."""
    seat, client = sockets.connect()
    client.send(b"hello")
    assert sockets.events(seat) & READ
    sockets.seats.pause_reading(seat)
    assert not sockets.events(seat) & READ
    sockets.seats.write(seat, MUCH)
    sockets.seats.pause_reading(seat)
    received(client)
    assert sockets.events(seat) & WRITE
    sockets.seats.resume_reading(seat)
    assert sockets.events(seat) & READ
