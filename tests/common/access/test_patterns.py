"""Patterns of channel names."""

import pytest

from common.access.patterns import Patterns


@pytest.mark.parametrize(
    ("texts", "channel", "matches"),
    [
        ([], "room", False),
        (["room"], "room", True),
        (["room"], "room:1", False),
        (["room:*"], "room:1", True),
        (["room:*"], "room:", True),
        (["room:*"], "room", False),
        (["*"], "anything", True),
        (["a", "b*"], "b", True),
        (["a", "b*"], "c", False),
        ([f"room{number}" for number in range(99)], "room98", True),
        ([f"room{number}" for number in range(99)], "room99", False),
    ],
)
def test_exact_names_and_beginnings(texts: list[str], channel: str, matches: bool) -> None:
    """A star at the end stands for any rest, also none."""
    assert Patterns(texts).matches(channel) is matches


@pytest.mark.parametrize("text", ["", "ro*om", "a b", "**", "{x}", "n" * 256])
def test_what_no_channel_can_match_is_refused(text: str) -> None:
    """The sentence names the pattern."""
    with pytest.raises(ValueError, match="matches no channel"):
        Patterns([text])


def test_each_counts_once() -> None:
    """They can be written again."""
    found = Patterns(["room", "news:*", "room", "news:*", "a"])
    assert (len(found), found.texts) == (3, ["a", "news:*", "room"])
    assert len(Patterns(f"room{number}" for number in range(99))) == 99


def test_a_set_without_patterns_is_false() -> None:
    """So that it can be asked whether anything was set."""
    assert (bool(Patterns()), bool(Patterns(["a"]))) == (False, True)
