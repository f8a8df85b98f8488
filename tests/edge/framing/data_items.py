"""Data items as hypothesis draws them, and the objects that clients read for them."""

from hypothesis import strategies as st

from edge.framing.items import Item, ItemKind

TEXT = st.text(st.one_of(st.sampled_from("\u2028\u2029</>\\\"'\n"), st.characters(exclude_categories=("Cs",))))
ITEMS = st.lists(TEXT.map(lambda content: Item(ItemKind.DATA, "room", content, "3-103", "3-103")), max_size=4)


def objects(items: list[Item]) -> list[dict[str, object]]:
    """Return what a client shall read for data items."""
    return [{"type": "data", "id": "room", "content": item.content, "seq": item.seq} for item in items]
