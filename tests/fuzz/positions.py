"""Positions, as they come back in `since=` and `Last-Event-ID`: what is read is written as the same again."""

from common.errors import BadRequestError
from common.names import check_channel
from common.position import (
    START,
    NamedPositions,
    Position,
    Positions,
    parse_named_positions,
    parse_position,
    parse_positions,
)
from tests.fuzz.refusals import check_refusal

MAX_DIGITS = 19
COUNTS = (1, 2, 128)


def check(data: bytes) -> None:
    """Read a text as a position, as a list of them, and with the names of channels."""
    text = data.decode(errors="replace")
    _check_one(text)
    for count in {text.count(",") + 1, *COUNTS}:
        _check_list(text, count)
    _check_named(text)


def _check_one(text: str) -> None:
    try:
        position = parse_position(text)
    except BadRequestError as error:
        check_refusal(error, {400})
        return
    _check_position(position)
    assert str(position) == text or text == "0"


def _check_list(text: str, count: int) -> None:
    try:
        positions = parse_positions(text, count)
    except BadRequestError as error:
        check_refusal(error, {400})
        return
    assert len(positions) == count
    for one in positions:
        _check_position(one)
    if None not in positions:  # an edge gives a position for each channel
        cursor = Positions({str(at): str(one) for at, one in enumerate(positions)}).cursor
        assert parse_positions(cursor, count) == positions


def _check_named(text: str) -> None:
    try:
        named = parse_named_positions(text)
    except BadRequestError as error:
        check_refusal(error, {400})
        return
    for name, position in named.items():
        check_channel(name)
        _check_position(position)
    if None not in named.values():
        cursor = NamedPositions({name: str(position) for name, position in named.items()}).cursor
        assert list(parse_named_positions(cursor).items()) == list(named.items())


def _check_position(position: Position | None) -> None:
    if position is not None:
        assert max(map(len, str(position).split("-"))) <= MAX_DIGITS
        assert position.tag or position == START
        assert parse_position(str(position)) == position
