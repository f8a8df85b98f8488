"""The inbox: what it counts, and which seat it names."""

import random

from edge.engine.inbox import Inbox
from edge.state import Seat


def inbox_of(max_bytes: int) -> Inbox:
    """Return an inbox with this limit."""
    return Inbox(max_bytes)


def test_nothing_is_named_up_to_the_limit() -> None:
    """At the limit all is well; one byte more is too much."""
    inbox, seat = inbox_of(10), Seat(5)
    inbox.keep(seat, b"x" * 10)
    assert inbox.longest() is None
    inbox.keep(seat, b"x" * 11)
    assert inbox.longest() is seat


def test_the_one_that_waits_longest_is_named() -> None:
    """More bytes of one request do not renew its wait; bytes that are left after something was served do."""
    inbox = inbox_of(0)
    first, second = Seat(5), Seat(6)
    inbox.keep(first, b"a")
    inbox.keep(second, b"b")
    inbox.keep(first, b"aa")
    assert inbox.longest() is first
    inbox.keep_rest(first, b"a")
    assert inbox.longest() is second
    inbox.forget(second)
    assert inbox.longest() is first


def test_a_seat_that_has_nothing_is_not_known() -> None:
    """A rest of nothing costs nothing, and forgetting twice does no harm."""
    inbox, seat = inbox_of(10), Seat(5)
    inbox.keep(seat, b"a")
    inbox.keep_rest(seat, b"")
    inbox.forget(seat)
    assert (inbox.kept_bytes, inbox._waiting, seat.recv_buffer) == (0, {}, b"")


def test_the_sum_is_that_of_the_seats() -> None:
    """Whatever is kept, replaced and forgotten, in any order."""
    chance, inbox, seats = random.Random(1), inbox_of(10**6), [Seat(fd) for fd in range(20)]
    for _ in range(2000):
        seat = chance.choice(seats)
        chance.choice([inbox.keep, inbox.keep_rest])(seat, b"x" * chance.randrange(30))
        if chance.random() < 0.1:
            inbox.forget(seat)
        assert inbox.kept_bytes == sum(len(seat.recv_buffer) for seat in seats)
        assert set(inbox._waiting) == {seat for seat in seats if seat.recv_buffer}
