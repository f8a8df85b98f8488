"""The answer to a poll that was behind: parts that are encoded once, and answers that are shared."""

from common.position import NamedPositions, Position
from edge.framing.base import MAX_ANSWER_BYTES, Batch, Encoded
from edge.framing.http import Variant
from edge.framing.items import Item, ItemKind
from edge.framing.transports import framing_for

POLL = framing_for("poll", Variant())
JSONP = framing_for("jsonp", Variant(callback="f"))


def items(*contents: str) -> list[Item]:
    """Return some messages."""
    return [Item(ItemKind.DATA, "room", content, f"{number}-1") for number, content in enumerate(contents, 1)]


def part(*contents: str) -> Encoded:
    """Return some messages, encoded for a poll."""
    return Encoded(POLL.part(items(*contents)), len(contents))


def test_parts_make_the_answer_that_their_items_would_make() -> None:
    """The client cannot tell that its messages were read in pieces."""
    batch = Batch([None])
    for one in (part("a", "b"), part("c")):
        batch.add(one)
    assert (batch.count, batch.is_full) == (3, False)
    whole = [*items("a", "b"), *items("c")]
    assert b"".join(batch.answer(POLL, "3-1")) == POLL.encode(whole, "3-1")
    assert b"".join(batch.answer(JSONP, "3-1")) == JSONP.encode(whole, "3-1")
    assert b"".join(Batch([None]).answer(POLL, "0-1")) == POLL.encode([], "0-1")


def test_what_is_a_polls_own_comes_first() -> None:
    """Up to its session; what follows is shared."""
    framing, batch = framing_for("poll", Variant(session_size=20)), Batch([None])
    batch.add(part("a"))
    own, *shared = batch.answer(framing, "1-1")
    assert own.endswith(b'"session":"********************","messages":[')
    assert shared == [part("a").data, b"]}", b"\n"]


def test_polls_with_the_same_messages_share_their_bytes() -> None:
    """All but the beginning, which has the position."""
    first, last = part("a"), part("b")
    answers = []
    for cursor in ("2-1", "3-1"):
        batch = Batch([None])
        batch.add(first)
        batch.add(last)
        answers.append(batch.answer(POLL, cursor))
    assert answers[0][0] != answers[1][0]
    assert [one is other for one, other in zip(*answers, strict=True)][1:4] == [True, True, True]
    assert answers[0][1:4] == [first.data, b",", last.data]


def test_the_longest_part_is_known() -> None:
    """By it others find out whether it is there already."""
    batch = Batch([None])
    assert batch.longest is None
    for one in (part("a"), part("b" * 9), part("c")):
        batch.add(one)
    assert batch.longest == part("b" * 9).data


def test_what_is_put_first_stands_first() -> None:
    """Acknowledgements come before messages."""
    batch = Batch([None])
    batch.add(part("b"))
    batch.put_first(part("a"))
    answer = b"".join(batch.answer(POLL, "2-1"))
    assert answer.index(b'"a"') < answer.index(b'"b"')


def test_positions_move_to_the_end_of_what_was_read() -> None:
    """Those of other channels stay; a poll whose answer is its channel's has none."""
    batch, positions = Batch([None]), NamedPositions({"a": "1-1", "b": "2-2"})
    batch.positions["a"] = Position(5, 5)
    batch.move(positions)
    batch.move(None)
    assert positions == {"a": "5-5", "b": "2-2"}


def test_an_answer_is_full_with_eight_mebibytes() -> None:
    """The message that reaches the limit is in it."""
    batch = Batch([None])
    batch.add(Encoded(b"x" * (MAX_ANSWER_BYTES - 1), 1))
    assert not batch.is_full
    batch.add(Encoded(b"x", 1))
    assert batch.is_full
