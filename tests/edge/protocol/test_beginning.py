"""Where a subscriber begins: lists, names, and cursors of the compact forms."""

import pytest

from common.errors import BadRequestError
from common.position import FOREIGN, FORGOTTEN, NameList, Position, Positions
from edge.protocol.beginning import Beginning, begin_after, begin_after_header

NAMES = [f"c{number}" for number in range(128)]
POSITIONS = {name: f"{number}-{1_795_376_754_532_743 + number}" for number, name in enumerate(NAMES)}


def test_a_compact_list_is_one_position_for_each_channel() -> None:
    """In the order of the ids; an id that is repeated counts once."""
    text = Positions(POSITIONS).cursor
    begun = begin_after(text, [*NAMES, "c0"])
    assert begun.channels == tuple(NAMES)
    assert begun.since == tuple(Position(number, 1_795_376_754_532_743 + number) for number in range(128))
    with pytest.raises(BadRequestError, match="128 positions for 127 channels"):
        begin_after(text, NAMES[:127])


def test_a_cursor_whose_names_are_stored_waits_for_them() -> None:
    """Until then the channels are those of the URL, which are gone back to if the names are not known."""
    names = NameList(NAMES)
    begun = begin_after(names.cursor(POSITIONS), ["room"])
    assert begun[:3] == (True, ("room",), (FORGOTTEN,))
    assert begun.stored is not None
    assert {name: str(at) for name, at in begun.stored.positions(names).items()} == POSITIONS


def test_names_may_begin_as_a_compact_cursor_does() -> None:
    """`~` is a legal name; a cursor that names its channels has an equals sign, and a compact one has none."""
    assert begin_after("~a.b=1-2", []) == Beginning(True, ("~a.b",), (Position(1, 2),))


@pytest.mark.parametrize("text", ["~", "~AAAA", "~" + "A" * 24 + ".", "~.AAAAAAAA", Positions(POSITIONS).cursor[:-1]])
def test_what_is_damaged_is_refused_or_a_foreign_id(text: str) -> None:
    """A program is told; an EventSource gets a reset."""
    with pytest.raises(BadRequestError, match=r"^since: this position is damaged"):
        begin_after(text, NAMES)
    assert begin_after_header(text, ["room"], "sse") == Beginning(False, ("room",), (FOREIGN,))
