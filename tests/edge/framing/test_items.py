"""Items: how they are made, where they stand, and their JSON objects."""

import pytest

from common.message import Message
from common.position import NamedPositions, Positions
from edge.framing.items import (
    Item,
    ItemKind,
    as_script,
    close_item,
    data_item,
    error_item,
    json_object,
    reset_item,
    stamp,
    unexpired_items,
    welcome_item,
)
from tests.edge.usual_log import stored


@pytest.mark.parametrize(
    ("item", "text"),
    [
        (
            Item(ItemKind.DATA, "room", "hi", "3-103", "3-103"),
            b'{"type":"data","id":"room","content":"hi","seq":"3-103"}',
        ),
        (Item(ItemKind.DATA, "room", "hi"), b'{"type":"data","id":"room","content":"hi"}'),
        (Item(ItemKind.DATA, "room", ""), b'{"type":"data","id":"room","content":""}'),
        (
            Item(ItemKind.DATA, "room", "hi", "3-103", "3-103", "news"),
            b'{"type":"data","id":"room","content":"hi","seq":"3-103","event":"news"}',
        ),
        (
            Item(ItemKind.DATA, "room", "hi", "3-103", "3-103,0-0"),
            b'{"type":"data","id":"room","content":"hi","seq":"3-103"}',
        ),
        (Item(ItemKind.RESET, "room", seq="5-105", cursor="5-105"), b'{"type":"reset","id":"room","seq":"5-105"}'),
        (Item(ItemKind.ERROR, content="no", code=400), b'{"type":"error","code":400,"content":"no"}'),
        (Item(ItemKind.CLOSE, content="bye"), b'{"type":"close","content":"bye"}'),
        (Item(ItemKind.DATA, "ü", "\n\u2028\0"), '{"type":"data","id":"ü","content":"\\n\u2028\\u0000"}'.encode()),
    ],
)
def test_an_item_is_one_json_object(item: Item, text: bytes) -> None:
    """The fields have the names of the wire, in this order; one without a value is left out."""
    assert json_object(item) == text


@pytest.mark.parametrize(
    ("message", "item"),
    [
        (stored(3, b"hi"), Item(ItemKind.DATA, "room", "hi", "3-103", "3-103")),
        (Message(b"hi", event="news"), Item(ItemKind.DATA, "room", "hi", event="news")),
        (Message("ü".encode() + b"\xff"), Item(ItemKind.DATA, "room", "ü\ufffd")),
    ],
)
def test_a_message_is_an_item_of_its_channel(message: Message, item: Item) -> None:
    """A stored one has its position; a live one has none; what is not UTF-8 is replaced."""
    assert data_item("room", message) == item


def test_what_an_edge_says_itself_is_an_item_too() -> None:
    """A welcome in a channel or in none, a reset, a close, an error."""
    assert json_object(welcome_item("room", "3-103", session="a.b", ref=7)) == (
        b'{"type":"welcome","id":"room","content":"hello world!","seq":"3-103","ref":7,"session":"a.b"}'
    )
    assert json_object(welcome_item(session="")) == b'{"type":"welcome","content":"hello world!"}'
    assert json_object(reset_item("room", "3-103")) == b'{"type":"reset","id":"room","seq":"3-103"}'
    assert json_object(close_item("room", "bye")) == b'{"type":"close","id":"room","content":"bye"}'
    assert json_object(error_item(400, "no")) == b'{"type":"error","code":400,"content":"no"}'


def test_a_message_whose_time_is_over_is_no_item_any_more() -> None:
    """Its own time to live counts, to the millisecond; without one it does not expire."""
    lives = {b"a": 5000, b"b": 0, b"c": 5001}
    messages = [stored(offset, name)._replace(expires=expires) for offset, (name, expires) in enumerate(lives.items())]
    assert [item.content for item in unexpired_items("room", messages, 4.999)] == ["a", "b", "c"]
    assert [item.content for item in unexpired_items("room", messages, 5.0)] == ["b", "c"]


@pytest.mark.parametrize(
    ("positions", "cursors"),
    [
        (None, ["1-101", ""]),
        (Positions({"a": "0-100"}), ["1-101", "1-101"]),
        (NamedPositions({"a": "0-100"}), ["", "a=1-101"]),
        (Positions({"a": "0-100", "b": "7-9"}), ["", "1-101,7-9"]),
        (NamedPositions({"a": "0-100", "b": "7-9"}), ["", "a=1-101&b=7-9"]),
    ],
)
def test_items_are_stamped_with_where_their_subscriber_then_stands(
    positions: Positions | None, cursors: list[str]
) -> None:
    """A stored message moves the position of its channel, a live one moves none; with one channel each has its own."""
    items = [data_item("a", stored(1)), data_item("a" if positions and len(positions) == 1 else "b", Message(b"live"))]
    assert [item.cursor for item in stamp(items, positions)] == cursors


def test_json_in_a_script_has_no_line_separators() -> None:
    """JavaScript before ES2019 took them for line breaks, also in a string."""
    assert as_script('{"a":"\u2028\u2029"}'.encode()) == b'{"a":"\\u2028\\u2029"}'
