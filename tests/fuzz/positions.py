"""Positions, as they come back in `since=` and `Last-Event-ID`: what is read is written as the same again.

A compact cursor has a checksum, which no mutation meets. So an input is also taken for the body of one, and sealed: as
a list of positions, and as one that refers to some names. And it is taken for a list of names, as Redis keeps them.
"""

from base64 import urlsafe_b64encode
from contextlib import suppress
from zlib import crc32

from common.errors import BadRequestError
from common.names import check_channel
from common.position import (
    MAX_CURSOR_BYTES,
    MAX_LISTED,
    START,
    NamedPositions,
    NameList,
    Position,
    Positions,
    StoredCursor,
    parse_named_positions,
    parse_position,
    parse_positions,
    parse_stored_cursor,
)
from tests.fuzz.refusals import check_refusal

MAX_DIGITS = 19
COUNTS = (1, 2, 128)
POSITION_BYTES = 16  # in a compact cursor
LISTS = [NameList([f"room-{number}" for number in range(count)]) for count in (3, 8, 128)]


def check(data: bytes) -> None:
    """Read a text as a position, as a list of them, with the names of channels, and as a compact cursor or its body."""
    text = data.decode(errors="replace")
    _check_one(text)
    for count in {text.count(",") + 1, *COUNTS}:
        _check_list(text, count)
    _check_named(text)
    _check_stored(text)
    _check_list(f"~{sealed('', data)}", max(1, len(data) // POSITION_BYTES))
    for names in LISTS:
        _check_stored(f"~{names.digest}.{sealed(names.digest, data)}", names)
    _check_names(data)


def sealed(digest: str, body: bytes) -> str:
    """Return the blob of a compact cursor, as common/position.py describes it."""
    checksum = crc32(digest.encode() + body).to_bytes(4)
    return urlsafe_b64encode(checksum + body).decode().rstrip("=")


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


def _check_stored(text: str, names: NameList | None = None) -> None:
    """Read a text as a cursor that refers to names: to these, or to any."""
    try:
        cursor = parse_stored_cursor(text)
    except BadRequestError as error:
        check_refusal(error, {400})
        return
    assert (cursor is None) == (not text.startswith("~") or "." not in text)
    if cursor is not None:
        for each in LISTS if names is None else [names]:
            _check_positions_of(cursor, each, text)


def _check_positions_of(cursor: StoredCursor, names: NameList, text: str) -> None:
    try:
        positions = cursor.positions(names)
    except BadRequestError as error:
        check_refusal(error, {400})
        return
    for position in positions.values():
        _check_position(position)
    assert list(positions) == [name for name in names.names if name in positions], "of other channels, or in no order"
    if cursor.digest == names.digest and positions:  # without any, its bits may be cut short
        assert names.cursor({name: str(position) for name, position in positions.items()}) == text


def _check_names(data: bytes) -> None:
    """Read bytes as a list of names that Redis keeps."""
    with suppress(ValueError, BadRequestError):
        names = NameList.read(data)
        for name in names.names:
            check_channel(name)
        assert names.text == data
        assert NameList.read(names.text).digest == names.digest
        positions = dict.fromkeys(names.names, "1-2")
        if len(positions) == len(names.names) <= MAX_LISTED:
            cursor = parse_stored_cursor(names.cursor(positions))
            assert cursor is not None
            assert {name: str(at) for name, at in cursor.positions(names).items()} == positions
            assert len(names.cursor(positions)) <= MAX_CURSOR_BYTES


def _check_position(position: Position | None) -> None:
    if position is not None:
        assert max(map(len, str(position).split("-"))) <= MAX_DIGITS
        assert position.tag or position == START
        assert parse_position(str(position)) == position
