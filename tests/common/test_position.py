import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from common.errors import BadRequestError
from common.names import check_channel
from common.position import (
    START,
    NamedPositions,
    Position,
    Positions,
    named_positions,
    parse_named_positions,
    parse_position,
    parse_positions,
)

LARGEST = 10**19 - 1
NUMBERS = st.integers(0, LARGEST)
POSITIONS = st.just(START) | st.builds(Position, NUMBERS, st.integers(1, LARGEST))  # a tag is a time, never 0
ANY_TEXT = st.text() | st.text("0123456789-,+_ .٣²\n", max_size=45)


@given(POSITIONS)
@example(Position(LARGEST, LARGEST))
def test_a_position_survives_the_round_trip(position: Position) -> None:
    """What a client sends back is what it was given."""
    assert parse_position(str(position)) == position


@given(ANY_TEXT)
def test_every_string_is_either_a_position_or_refused(text: str) -> None:
    """Nothing but BadRequestError ever comes out, and one position has one spelling (but for `0`)."""
    try:
        position = parse_position(text)
    except BadRequestError:
        return
    assert text in (str(position), "0")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        "1",
        "00",
        "1-",
        "-1",
        "-1-2",
        "1--2",
        "1-0",
        "+1-2",
        "01-2",
        "1-02",
        "1-2-3",
        "1-2 ",
        " 1-2",
        "1-2\n",
        "1_0-2",
        "1.0-2",
        "0x1-2",
        "1e3-2",
        "٣-٤",
        "²-1",
        "\uff11\uff12-1",  # full-width digits
        "10000000000000000000-1",
        "1-10000000000000000000",
        "9" * 5000 + "-1",
        "1-2,3-4",
        "$",
        "null",
    ],
)
def test_what_no_server_ever_wrote_is_refused(text: str) -> None:
    """Huge and negative numbers, leading zeros, signs, blanks and digits of other scripts are not positions."""
    sentence = f"since: {text[:60]!r} is not a position; send back a seq as you received it"
    with pytest.raises(BadRequestError, match=f"^{re.escape(sentence)}$"):
        parse_position(text)


def test_zero_is_the_start() -> None:
    """`since=0` and `0-0` ask for everything that is kept."""
    assert parse_position("0") == parse_position("0-0") == START == Position(0, 0)


@given(st.lists(POSITIONS, min_size=1, max_size=5))
def test_a_list_survives_the_round_trip(positions: list[Position]) -> None:
    """Several channels' positions come back in the order asked."""
    assert parse_positions(",".join(map(str, positions)), len(positions)) == positions


@given(ANY_TEXT, st.integers(1, 4))
def test_every_string_is_either_that_many_positions_or_refused(text: str, count: int) -> None:
    """Whatever a client sends, each channel has its position or the request is a bad one."""
    try:
        positions = parse_positions(text, count)
    except BadRequestError:
        return
    assert len(positions) == count


def test_a_single_zero_stands_for_all_channels() -> None:
    """`since=0` with three channels asks for all of all three."""
    assert parse_positions("0", 3) == [START, START, START]


def test_an_empty_place_is_from_now_on() -> None:
    """A channel that is new beside others has no position to go on from."""
    assert parse_positions("1-2,,0", 3) == [Position(1, 2), None, START]
    assert parse_named_positions("a=1-2&b=") == {"a": Position(1, 2), "b": None}


@pytest.mark.parametrize(("text", "count", "given"), [("1-2", 2, 1), ("1-2,3-4", 1, 2), ("1-2,", 1, 2), ("", 2, 1)])
def test_a_list_of_the_wrong_length_is_refused(text: str, count: int, given: int) -> None:
    """A list that does not fit the channels is not guessed at."""
    sentence = f"since: {given} positions for {count} channels; send one for each id, in the same order"
    with pytest.raises(BadRequestError, match=f"^{sentence}$"):
        parse_positions(text, count)


def is_name(text: str) -> bool:
    """Say whether a text may name a channel."""
    try:
        check_channel(text)
    except BadRequestError:
        return False
    return True


NAMES = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=20).filter(is_name)


@given(st.dictionaries(NAMES, POSITIONS, min_size=1, max_size=5))
@example({"a=1&b": START, "ü,%3D": Position(1, 2), "+": Position(3, 4)})
def test_named_positions_survive_the_round_trip(positions: dict[str, Position]) -> None:
    """Whatever the names are, and in the same order; the text is plain ASCII, fit for an SSE id and a header."""
    text = named_positions({name: str(position) for name, position in positions.items()})
    assert list(parse_named_positions(text).items()) == list(positions.items())
    assert text.isascii()
    assert text.isprintable()
    assert " " not in text


@given(st.text() | st.text("=&%-0123456789ab", max_size=30))
def test_every_string_is_either_named_positions_or_refused(text: str) -> None:
    """Nothing but BadRequestError ever comes out."""
    try:
        assert parse_named_positions(text)
    except BadRequestError as error:
        assert error.sentence.split(":")[0] in {"since", "id"}  # noqa: PT017  # it is allowed, not expected


@pytest.mark.parametrize("text", ["", "1-2", "room", "=1-2", "room=1-2&", "a b=1-2", "%ff=1-2", "room=soon"])
def test_named_positions_that_are_none(text: str) -> None:
    """Each field has a name and a position."""
    with pytest.raises(BadRequestError):
        parse_named_positions(text)


def test_a_standing_is_a_list_until_it_names_its_channels() -> None:
    """The two forms of a cursor over several channels."""
    assert Positions({"b": "1-2", "a": "3-4"}).cursor == "1-2,3-4"
    assert NamedPositions({"b": "1-2", "a=": "3-4"}).cursor == "b=1-2&a%3D=3-4"
