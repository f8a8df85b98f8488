"""What a client may send at once."""

from dataclasses import fields

from common.settings import Settings
from edge.protocol.limits import MAX_CHANNELS, MAX_OPERATIONS, USUAL_LIMITS, InputLimits


def test_each_limit_is_a_setting_of_its_name_and_default() -> None:
    """So the documented defaults are what tests and fuzzers of the parsers use."""
    for field in fields(InputLimits):
        assert Settings.model_fields[field.name].default == getattr(USUAL_LIMITS, field.name), field.name


def test_what_other_parts_are_made_for_is_the_most_that_a_setting_allows() -> None:
    """Cursors and lists of names have room for so many channels, and other edges take so many operations."""
    most = [
        next(limit.le for limit in Settings.model_fields[name].metadata if hasattr(limit, "le"))
        for name in ("max_channels", "max_operations")
    ]
    assert most == [MAX_CHANNELS, MAX_OPERATIONS]


def test_limits_are_equal_only_to_themselves() -> None:
    """An edge has one set of them for its whole life; it is compared without a look at its fields."""
    assert InputLimits() != InputLimits()
    assert USUAL_LIMITS == USUAL_LIMITS  # noqa: PLR0124
