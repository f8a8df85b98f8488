"""Open files or memory for sockets are used up: one line in a while, where asyncio writes a traceback for each try."""

import asyncio
import errno
from typing import Any

from common.logs import get_logger

EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ENOSPC}  # ENOSPC: epoll's watches
PERIOD = 10.0  # seconds between two lines


class LoopFaults:
    """Takes what an event loop reports (`loop.set_exception_handler`); a client can cause exhaustion, and no other."""

    def __init__(self) -> None:
        self._tells_again_at = float("-inf")
        self._log = get_logger()

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Write a line, or leave it to the loop."""
        error = context.get("exception")
        if "socket" not in context or not isinstance(error, OSError) or error.errno not in EXHAUSTED:
            loop.default_exception_handler(context)
        elif loop.time() >= self._tells_again_at:
            self._tells_again_at = loop.time() + PERIOD
            self._log.warning("no more connections can be accepted; pausing", error=error.strerror)
