"""Cursors: how long they become, that each is read back as it was, and what becomes of those that are changed."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import BadRequestError
from common.names import FORBIDDEN
from common.position import (
    MAX_CURSOR_BYTES,
    MAX_LISTED,
    START,
    NamedPositions,
    NameList,
    Position,
    Positions,
    is_long,
    parse_named_positions,
    parse_positions,
    parse_stored_cursor,
)

LARGEST = 10**19 - 1
AT = st.builds(Position, st.integers(0, LARGEST), st.integers(1, LARGEST)) | st.just(START)
NAME = st.text(
    st.characters(exclude_categories=("C", "Z"), exclude_characters=FORBIDDEN), min_size=1, max_size=60
).filter(lambda name: name.split() == [name])
NAMES = st.lists(NAME | st.text("ab~.=&%ü", min_size=1, max_size=20), max_size=128, unique=True)
LONG = [f"{number:03d}" + "x" * 252 for number in range(128)]


@given(st.lists(AT, min_size=1, max_size=128))
def test_a_list_is_short_and_read_back(positions: list[Position]) -> None:
    """One position for each channel, as it was, whatever it is."""
    cursor = Positions({str(number): str(at) for number, at in enumerate(positions)}).cursor
    assert len(quote(cursor, safe="")) <= MAX_CURSOR_BYTES
    assert parse_positions(cursor, len(positions)) == positions


@pytest.mark.parametrize(("count", "size"), [(MAX_LISTED, 97 * 40 - 1), (MAX_LISTED + 1, 2097), (128, 2737)])
def test_a_list_is_readable_as_long_as_it_is_short(count: int, size: int) -> None:
    """With the longest positions there are."""
    cursor = Positions({str(number): f"{LARGEST}-{LARGEST}" for number in range(count)}).cursor
    assert (cursor.startswith("~"), len(cursor)) == (count > MAX_LISTED, size)


@given(NAMES, st.data())
def test_names_in_a_cursor_are_short_and_read_back(names: list[str], data: st.DataObject) -> None:
    """Those that are not long stand in it, whatever the positions; others are stored, and any part of them is named."""
    positions = {name: data.draw(AT) for name in names}
    seqs = {name: str(at) for name, at in positions.items()}
    if not is_long(names):
        cursor = NamedPositions(seqs).cursor
        assert len(quote(cursor, safe="")) <= MAX_CURSOR_BYTES
        assert not names or parse_named_positions(cursor) == positions
    stored = NameList([*names, *LONG])
    cursor = NamedPositions(seqs, stored).cursor
    assert len(quote(cursor, safe="")) <= MAX_CURSOR_BYTES
    if names:
        read = parse_stored_cursor(cursor)
        assert read is not None
        assert read.digest == stored.digest == NameList.read(stored.text).digest
        assert read.positions(stored) == positions


def test_a_hundred_and_twenty_eight_of_the_longest_names_are_four_kilobytes() -> None:
    """Even as some of so many that one request can add."""
    more = [f"more{number}" for number in range(256)]
    cursor = NamedPositions(dict.fromkeys(LONG, f"{LARGEST}-{LARGEST}"), NameList([*LONG, *more])).cursor
    assert len(cursor) == 2826
    assert is_long(LONG)
    assert not is_long(LONG[:13])


def test_equal_names_are_stored_once() -> None:
    """The digest is of the names in their order; whoever has none of them is told nothing of them."""
    assert NameList(LONG).digest == NameList(tuple(LONG)).digest != NameList(LONG[::-1]).digest
    assert NamedPositions({}, NameList(LONG)).cursor == ""


def test_a_cursor_never_leaves_a_channel_out() -> None:
    """One that is not among the names would be lost in silence."""
    assert NamedPositions({"a": "1-2", "b": "3-4"}, NameList(["a"])).cursor == "a=1-2&b=3-4"


@given(st.integers(0, 2800), st.sampled_from("AZaz09-_~.=&,"), st.booleans())
def test_a_changed_cursor_is_refused(index: int, character: str, cut: bool) -> None:
    """Or it has another digest, of which nothing is stored; never is it one for other channels of the list."""
    names = NameList(LONG)
    cursor = names.cursor(dict.fromkeys(LONG[::2], "12-1795376754532743"))
    index %= len(cursor)
    changed = cursor[:index] + (character if not cut else "") + cursor[index + 1 :]
    if changed == cursor:
        return
    if "=" in changed:
        refusing = parse_named_positions
    elif changed.startswith("~") and "." in changed:
        refusing = parse_stored_cursor
    else:
        refusing = lambda text: parse_positions(text, 128)  # noqa: E731
    with pytest.raises(BadRequestError):
        refusing(changed)


@given(st.text() | st.text("~.AZaz09-_", max_size=60).map("~".__add__))
def test_every_string_is_a_cursor_or_refused(text: str) -> None:
    """Nothing but BadRequestError ever comes out."""
    names = NameList(LONG)
    for read in (lambda: parse_positions(text, 3), lambda: _positions(text, names)):
        try:
            read()
        except BadRequestError as error:
            assert error.sentence.startswith("since: ")  # noqa: PT017  # it is allowed, not expected


def _positions(text: str, names: NameList) -> None:
    stored = parse_stored_cursor(text)
    if stored is not None:
        stored.positions(names)


@pytest.mark.parametrize("at", ["12-0", f"{10**19}-5", f"5-{10**19}"])
def test_what_no_server_writes_is_refused_in_a_blob_as_well(at: str) -> None:
    """The checksum is no secret: whoever makes a cursor is told what is wrong with it."""
    names = NameList(LONG)
    with pytest.raises(BadRequestError):
        parse_positions(Positions(dict.fromkeys(LONG, at)).cursor, 128)
    stored = parse_stored_cursor(names.cursor({LONG[0]: at}))
    assert stored is not None
    with pytest.raises(BadRequestError):
        stored.positions(names)


@pytest.mark.parametrize("other", [["a"], ["a", "b", "c"], LONG])
def test_positions_of_other_names_are_refused(other: list[str]) -> None:
    """More names than are listed, or more positions than names."""
    stored = parse_stored_cursor(NameList([f"c{number}" for number in range(9)]).cursor({"c1": "1-2", "c8": "3-4"}))
    assert stored is not None
    with pytest.raises(BadRequestError):
        stored.positions(NameList(other))


@pytest.mark.parametrize("text", [b"", b"a\n", b"a b", b"\xff", b"a\n\nb", b"a!"])
def test_a_text_that_is_no_list_is_noticed(text: bytes) -> None:
    """What another program wrote is not taken for names."""
    with pytest.raises((ValueError, BadRequestError)):
        NameList.read(text)
