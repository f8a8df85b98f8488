"""Waiting for something that another process does: look again until it is so, never sleep and hope."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

DEADLINE = 8.0  # generous: a loaded machine must not make a test red
STARTING = 30.0  # three processes that import everything, on a machine that does ten other things
PAUSE = 0.02


def until(look: Callable[[], T | None], deadline: float = DEADLINE) -> T:
    """Return the first true value that `look` gives; fail when it gave none in time."""
    end = time.monotonic() + deadline
    while True:
        value = look()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline} s; the last look gave {value!r}")
        time.sleep(PAUSE)
