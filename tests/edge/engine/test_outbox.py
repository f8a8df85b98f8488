"""The outbox's account of parked bytes, and giving memory back after slow readers."""

import pytest

from edge.engine.outbox import MUCH_PARKED as MUCH
from edge.engine.outbox import MemoryTrimmer


@pytest.mark.parametrize(
    ("parked", "times"),
    [
        ([0, 0], 0),
        ([MUCH - 1, 0], 0),
        ([MUCH, 1], 0),
        ([MUCH, 0, 0], 1),
        ([MUCH, MUCH - 1, 0], 1),
        ([MUCH, 0, 5, 0, MUCH, 0], 2),
    ],
)
def test_memory_is_given_back_once_when_the_last_of_much_is_gone(parked: list[int], times: int) -> None:
    """Little is not worth it, and what is still parked will be needed."""
    given: list[None] = []
    looks = iter(parked)
    trimmer = MemoryTrimmer(lambda: next(looks), lambda: given.append(None))
    assert not any(trimmer.tick() for _ in parked)
    assert len(given) == times
