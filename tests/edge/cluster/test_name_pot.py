"""Room for lists of names: bounded, fair to those who are held, and exact whatever order things happen in."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import LimitError
from common.position import NamedPositions, NameList
from edge.cluster.name_pot import LISTS_OF_ONE, NamePot
from edge.state import Seat
from tests.edge.edge_without_redis import FakeClock

MOST = 10


def pot(ended: list[str], clock: FakeClock | None = None) -> NamePot:
    """Return one with room for ten lists of one byte."""
    return NamePot(clock or FakeClock(), ended.append, ttl=450, max_bytes=MOST)


def store(room: NamePot, seat: Seat, *digests: str) -> None:
    """Keep lists for a subscriber."""
    for digest in digests:
        room.admit(digest, 1)
        room.claim(seat, digest)


def test_who_changes_again_and_again_spends_its_own() -> None:
    """Of a hundred lists its last four are kept, and another has room for as many."""
    ended: list[str] = []
    room, one, two = pot(ended), Seat(1), Seat(2)
    store(room, one, *(f"one-{number}" for number in range(100)))
    assert ended == [f"one-{number}" for number in range(100 - LISTS_OF_ONE)]
    store(room, two, *"abcd")
    assert len(ended) == 100 - LISTS_OF_ONE


def test_the_list_of_the_cursor_stays() -> None:
    """Changes whose names are stored already, but which are not carried out yet, do not push it out."""
    ended: list[str] = []
    room, one = pot(ended), Seat(1)
    now = NameList(["now"])
    one.positions = NamedPositions({}, now)
    store(room, one, now.digest, *"abcde")
    assert ended == ["a", "b"]


def test_what_another_refers_to_stays() -> None:
    """It ends with the last one."""
    ended: list[str] = []
    room, one, two = pot(ended), Seat(1), Seat(2)
    store(room, two, "shared")
    store(room, one, "shared", *"abcd")
    assert ended == []
    store(room, two, *"abcd")
    assert ended == ["shared"]


def test_what_was_left_makes_room_the_oldest_first() -> None:
    """Those who hold theirs lose nothing; if all is in use, one more is refused, and nothing ends for that."""
    ended: list[str] = []
    room, held = pot(ended), Seat(1)
    store(room, held, "held")
    for number in range(20):
        seat = Seat(2)
        store(room, seat, f"left-{number}")
        room.leave(seat)
    assert ended == [f"left-{number}" for number in range(11)]
    for number in range(9):
        store(room, Seat(number), f"new-{number}")
    assert ended == [f"left-{number}" for number in range(20)]
    with pytest.raises(LimitError):
        room.admit("more", 1)
    assert len(ended) == 20


def test_time_makes_room() -> None:
    """Redis ends a list by itself; one that is kept again lasts."""
    ended: list[str] = []
    clock = FakeClock()
    room = pot(ended, clock)
    for number in range(MOST):
        store(room, Seat(number), f"{number}")
    clock.now += 300
    room.keep("0", 1)
    with pytest.raises(LimitError):
        room.admit("more", 1)
    clock.now += 151
    room.admit("more", 1)
    assert (len(room), ended) == (2, [])


def test_a_seat_that_is_gone_claims_nothing() -> None:
    """It would be remembered for ever."""
    room, gone = pot([]), Seat(-1)
    store(room, gone, "a")
    assert room.owners == {}


STEPS = st.lists(
    st.tuples(st.sampled_from(["store", "store", "leave", "forget", "pass"]), st.integers(0, 3), st.integers(0, 20))
)


@given(STEPS)
def test_the_books_are_true(steps: list[tuple[str, int, int]]) -> None:
    """Whatever happens: the bytes are those of what is kept, within the bound; what is left is what nobody has."""
    ended: list[str] = []
    clock = FakeClock()
    room, seats = pot(ended, clock), [Seat(number) for number in range(4)]
    for step, seat, digest in steps:
        if step == "store":
            try:
                store(room, seats[seat], f"{digest}")
            except LimitError:
                assert not room._left
        elif step == "leave":
            room.leave(seats[seat])
        elif step == "forget":
            room.forget(f"{digest}")
        else:
            clock.now += 100
        check(room)


def check(room: Any) -> None:
    """Compare the books with each other."""
    used = [digest for own in room.owners.values() for digest in own]
    assert room._bytes == len(room) <= MOST
    assert {digest: used.count(digest) for digest in used} == room._uses
    assert set(room._left) == set(room._kept) - set(used)
    assert all(len(own) == len(set(own)) <= LISTS_OF_ONE for own in room.owners.values())
