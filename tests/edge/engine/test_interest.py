"""Interest: a seat is watched for what is wanted of it, and for nothing else."""

from unittest.mock import Mock

import pytest

from edge.engine.interest import Interest
from edge.engine.poller import READ, READ_HANGUP, WRITE
from edge.parked import Parked
from edge.state import Pending, Seat
from tests.edge.seats_on_sockets import FRAMING
from tests.pure_only import pure_only

RESTING = READ | READ_HANGUP


class Watched:
    """An interest and one seat; `events` is what the poller was told last, `changes` how often it was told."""

    def __init__(self) -> None:
        self.poller = Mock()
        self.interest = Interest(self.poller)
        self.seat = Seat(7)

    @property
    def events(self) -> int:
        return int(self.poller.modify.call_args.args[1])

    @property
    def changes(self) -> int:
        return int(self.poller.modify.call_count)


@pytest.fixture
def watched() -> Watched:
    """Return a seat whose interest is known."""
    return Watched()


@pure_only
def test_a_paused_seat_is_watched_for_its_hang_up(watched: Watched) -> None:
    """To pause twice, or to resume twice, tells the poller once."""
    for _ in range(2):
        watched.interest.pause(watched.seat)
    assert (watched.events, watched.changes) == (READ_HANGUP, 1)
    for _ in range(2):
        watched.interest.resume(watched.seat)
    assert (watched.events, watched.changes) == (RESTING, 2)


@pure_only
def test_behind_a_parked_answer_nothing_is_read(watched: Watched) -> None:
    """The next request stays in the kernel until the answer is taken; a held seat is read all the while."""
    watched.seat.send_buffer = Parked(0.0)
    watched.interest.update(watched.seat)
    assert watched.events == READ_HANGUP | WRITE
    watched.seat.wait(Pending(watched.seat, FRAMING))
    watched.interest.update(watched.seat)
    assert watched.events == RESTING | WRITE
    watched.seat.send_buffer = None
    watched.interest.update(watched.seat)
    assert watched.events == RESTING


@pure_only
def test_a_half_closed_seat_is_watched_for_nothing_but_room(watched: Watched) -> None:
    """Its end would be reported again and again; pausing and resuming it changes nothing."""
    watched.interest.end(watched.seat)
    assert watched.events == 0
    watched.interest.pause(watched.seat)
    watched.interest.resume(watched.seat)
    assert watched.events == 0
    watched.seat.send_buffer = Parked(0.0)
    watched.interest.update(watched.seat)
    assert watched.events == WRITE


@pure_only
def test_a_seat_that_is_gone_is_forgotten(watched: Watched) -> None:
    """Nothing keeps it: neither that it was paused nor that its client had ended."""
    watched.interest.pause(watched.seat)
    watched.interest.end(watched.seat)
    watched.interest.forget(watched.seat)
    assert not watched.interest.half_closed
    assert not watched.interest.paused
