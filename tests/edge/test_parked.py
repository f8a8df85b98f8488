"""What is parked for a seat: chunks that are never copied, writes that are never broken off."""

import pytest

from edge.parked import MAX_PIECES, Parked

HEAD, SHARED, NEXT = b"head|", b"shared|", b"next|"


@pytest.fixture
def parked() -> Parked:
    """Return a write of two chunks, and one behind it."""
    parked = Parked(0.0)
    parked.append(HEAD, SHARED)
    parked.append(NEXT)
    return parked


def test_what_waits_is_the_objects_that_were_given(parked: Parked) -> None:
    """Not copies of them, even if one is sent in part."""
    parked.accept(7)
    assert parked.chunks[0] is SHARED
    assert parked.chunks[1] is NEXT
    assert [bytes(piece) for piece in parked.pieces()] == [b"ared|", b"next|"]
    assert (parked.size, parked.behind) == (10, 5)


@pytest.mark.parametrize(
    ("count", "done"),
    [(0, []), (4, []), (5, [HEAD]), (11, [HEAD]), (12, [HEAD, SHARED]), (17, [HEAD, SHARED, NEXT])],
)
def test_the_chunks_that_are_sent_are_told(parked: Parked, count: int, done: list[bytes]) -> None:
    """Each when its last byte was accepted."""
    assert parked.accept(count) == done
    assert parked.size == 17 - count


@pytest.mark.parametrize(
    ("count", "gone", "left"),
    [
        (0, [NEXT], b"head|shared|"),  # a write is kept with all its chunks
        (5, [NEXT], b"shared|"),
        (12, [NEXT], b""),  # the next one was not begun
        (13, [], b"ext|"),
    ],
)
def test_all_but_the_write_that_is_begun_is_dropped(parked: Parked, count: int, gone: list[bytes], left: bytes) -> None:
    """What the client has a part of it gets whole."""
    parked.accept(count)
    assert parked.drop() == gone
    assert b"".join(parked.pieces()) == left


def test_one_call_does_not_get_more_pieces_than_the_kernel_takes() -> None:
    """The rest is for the next one."""
    parked = Parked(0.0)
    for _ in range(MAX_PIECES + 1):
        parked.append(b"x")
    assert len(parked.pieces()) == MAX_PIECES
