"""What an edge can have announced of itself, and what it cannot."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from publisher.announcements import MAX_COUNT, MAX_NAMED, count_of, is_announcement, is_count, named

GOOD = {
    "id": "a",
    "host": "machine",
    "version": "1.2",
    "build": "compiled",
    "started": 1_795_000_000,
    "uptime": 5,
    "port": 8080,
    "ready": True,
    "draining": False,
    "connections": {"stream": 3, "sse": 0},
    "delivered": 12,
    "channels": 2,
    "rates": {"delivered": 1.5, "opened": 0},
    "busiest": [["room", 3]],
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


def test_what_edges_announce_can_be_shown() -> None:
    """Those of older versions lack fields, those of newer ones have more."""
    assert is_announcement("a", GOOD)
    assert is_announcement("a", {"id": "a"})
    assert is_announcement("a", GOOD | {"new": [1, {}]})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", "b"),
        ("id", None),
        ("host", 5),
        ("host", "x" * 256),
        ("version", None),
        ("build", 5),
        ("uptime", "long"),
        ("uptime", -1),
        ("ready", "yes"),
        ("draining", None),
        ("connections", None),
        ("connections", {"stream": "many"}),
        ("connections", {str(number): 1 for number in range(100)}),
        ("channels", True),
        ("channels", MAX_COUNT + 1),
        ("rates", None),
        ("rates", {"delivered": None}),
        ("busiest", 5),
        ("busiest", [5]),
        ("busiest", [["room"]]),
        ("busiest", [[5, "room"]]),
        ("busiest", [["room", 1]] * 100),
    ],
)
def test_what_no_edge_announces_is_told_apart(field: str, value: object) -> None:
    """One field of another kind is enough."""
    assert not is_announcement("a", GOOD | {field: value})


@given(JSON, st.sampled_from(sorted(GOOD)))
def test_any_json_is_an_announcement_or_none(value: object, field: str) -> None:
    """Nothing raises."""
    is_announcement("a", value)
    is_announcement("a", GOOD | {field: value})


def test_counts() -> None:
    """A truth is no number, and what cannot be counted with counts as nothing."""
    assert (count_of(5), count_of(-5), count_of(True), count_of("5"), count_of(2**63)) == (5, 0, 0, 0, 0)
    assert is_count(0.5)


def test_what_is_named_is_bounded() -> None:
    """However many and however long the ids are."""
    assert named(["x" * 1000] * 1000) == ["x" * 255] * MAX_NAMED
