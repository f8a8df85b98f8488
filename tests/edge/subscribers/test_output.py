"""What a held subscriber is told besides messages: at once, or in one write while it is corked."""

from contextlib import suppress
from socket import socket

import pytest

from common.position import NamedPositions
from edge.framing.base import Framing
from edge.framing.http import Variant
from edge.framing.items import Item, ItemKind
from edge.framing.transports import framing_for
from edge.state import Channel, Seat
from edge.subscribers.output import Output
from tests.edge.seats_on_sockets import SeatsOnSockets, received
from tests.edge.usual_log import at

PONG = Item(ItemKind.PONG)
STREAM = framing_for("stream", Variant(chunked=False))
EVENTS = framing_for("sse", Variant(chunked=False))


@pytest.fixture
def output(sockets: SeatsOnSockets) -> Output:
    """Return what is tested."""
    return Output(sockets.seats)


def test_what_is_told_leaves_at_once(sockets: SeatsOnSockets, output: Output) -> None:
    """Each object is a line of its own, in the order in which it was told."""
    seat, client = sockets.connect()
    output.send(seat, PONG, Item(ItemKind.UNSUB, "room"))
    output.send(seat, PONG)
    assert received(client) == b'{"type":"pong"}\n{"type":"unsub","id":"room"}\n{"type":"pong"}\n'


def test_a_corked_seat_is_written_to_at_the_end_of_the_block(sockets: SeatsOnSockets, output: Output) -> None:
    """What other seats are told meanwhile is not kept back."""
    (corked, its_client), (other, other_client) = sockets.connect(), sockets.connect()
    with output.cork(corked):
        output.write(corked, b"one ")
        output.write(corked, b"two")
        output.write(other, b"at once")
        assert (received(its_client), received(other_client)) == (b"", b"at once")
    assert received(its_client) == b"one two"
    output.write(corked, b"after")
    assert received(its_client) == b"after"


def test_what_was_kept_can_be_sent_before_something_else(sockets: SeatsOnSockets, output: Output) -> None:
    """A flush in the middle keeps the order; what follows it is kept again."""
    seat, client = sockets.connect()
    with output.cork(seat):
        output.write(seat, b"one ")
        output.flush()
        assert received(client) == b"one "
        output.write(seat, b"two")
        assert received(client) == b""
    assert received(client) == b"two"


def test_a_bug_in_a_corked_block_loses_nothing(sockets: SeatsOnSockets, output: Output) -> None:
    """What was told before is written, and the next seat is not corked by mistake."""
    seat, client = sockets.connect()
    with suppress(ZeroDivisionError), output.cork(seat):
        output.write(seat, b"one")
        raise ZeroDivisionError
    assert received(client) == b"one"
    output.write(seat, b"two")
    assert received(client) == b"two"


def test_a_seat_that_is_held_no_more_is_told_nothing(sockets: SeatsOnSockets, output: Output) -> None:
    """Its connection may be in the middle of another answer."""
    seat, client = sockets.connect()
    with output.cork(seat):
        output.write(seat, b"kept")
        seat.detach()
    output.send(seat, PONG)
    assert received(client) == b""


@pytest.mark.parametrize(("framing", "told"), [(STREAM, b'{"type":"pong"}\n'), (EVENTS, b"event: pong\n")])
def test_a_pong_has_no_id(sockets: SeatsOnSockets, output: Output, framing: Framing, told: bytes) -> None:
    """It leaves its client where it is."""
    seat, client = held(sockets, framing)
    output.send(seat, PONG)
    assert received(client).startswith(told)


def test_a_write_has_one_id_however_many_are_told(sockets: SeatsOnSockets, output: Output) -> None:
    """It is where the seat stands after all of them, on the last one that changes something."""
    seat, client = held(sockets, EVENTS)
    with output.cork(seat):
        for _ in range(3):
            output.send(seat, PONG)
            output.send(seat, Item(ItemKind.UNSUB, "room"))
        output.send(seat, PONG)
    lines = received(client).splitlines()
    assert [index for index, line in enumerate(lines) if line.startswith(b"id: ")] == [15]
    assert lines[15:17] == [b"id: room=5-105", b"event: unsub"]


def held(sockets: SeatsOnSockets, framing: Framing) -> tuple[Seat, socket]:
    """Return a seat that is held on a channel, and its client."""
    seat, client = sockets.connect()
    channel = Channel("room")
    channel.last = at(5)
    seat.attach((channel,), 0)
    seat.hold(framing, NamedPositions({"room": "5-105"}) if framing.cursor_in_bytes else None)
    return seat, client
