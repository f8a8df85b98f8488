"""Items as JSON objects."""

import pytest

from edge.framing.items import Item, ItemKind, json_object


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
def test_an_item_is_the_seeds_object(item: Item, text: bytes) -> None:
    """The field names are the seed's, in this order; a field without a value is left out."""
    assert json_object(item) == text
