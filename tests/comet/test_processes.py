"""The processes of `comet dev`."""

import pytest

from comet import processes

SHOWN = {
    '{"event": "started", "level": "info"}': "",
    '{"event": "redis is down", "level": "warning", "redis": "here", "timestamp": "now"}': (
        "warning: redis is down redis=here"
    ),
    "Traceback (most recent call last):": "Traceback (most recent call last):",
    "[1, 2]": "[1, 2]",
}


@pytest.mark.parametrize(("line", "shown"), SHOWN.items())
def test_warnings_are_shown_and_routine_is_not(line: str, shown: str) -> None:
    """A child's log line reaches the terminal if it is one to be read."""
    assert processes.worth_showing(line) == shown
