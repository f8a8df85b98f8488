import asyncio
import errno
from typing import Any

import pytest
from structlog.testing import capture_logs

from common.service.exhausted import PERIOD, LoopFaults


class Loop(asyncio.BaseEventLoop):
    """A loop whose clock stands still, and which keeps what it would log as an error."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 100.0
        self.errors: list[dict[str, Any]] = []

    def time(self) -> float:
        return self.now

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        self.errors.append(context)


@pytest.fixture
def loop() -> Loop:
    """Return a loop that never runs."""
    made = Loop()
    made.close()
    return made


def refused(number: int) -> dict[str, Any]:
    """Return what asyncio reports of a connection that it could not accept."""
    return {"message": "socket.accept() out of system resource", "exception": OSError(number, "why"), "socket": None}


def test_a_thousand_connections_that_cannot_be_accepted_are_one_line(loop: Loop) -> None:
    """asyncio tries again as often as its queue is long; the line comes again when some time has passed."""
    with capture_logs() as lines:
        faults = LoopFaults()
        for _ in range(1000):
            faults(loop, refused(errno.EMFILE))
        loop.now += PERIOD
        faults(loop, refused(errno.ENOBUFS))
    assert [line["log_level"] for line in lines] == ["warning", "warning"]
    assert loop.errors == []


@pytest.mark.parametrize(
    "context",
    [refused(errno.EPERM), {"message": "a bug", "exception": ValueError()}, {"exception": OSError(errno.EMFILE, "")}],
)
def test_whatever_else_a_loop_reports_is_an_error(loop: Loop, context: dict[str, Any]) -> None:
    """It goes where asyncio sends it."""
    LoopFaults()(loop, context)
    assert loop.errors == [context]
