"""Tasks that run for certain until they are ended, and end for certain then."""

import asyncio
from collections.abc import Awaitable, Callable

from common.logs import get_logger

AGAIN = 0.1  # seconds after which a task that goes on is cancelled once more
ANEW = 1.0  # seconds after which work that failed begins anew

Work = Callable[[], Awaitable[None]]


async def for_ever(work: Work) -> None:
    """Do what is never done; if it fails it begins anew, and that is logged, the same failure once.

    Nobody waits for such a task: one that died would be missed only by what it no longer does.
    """
    said = ""
    while True:
        try:
            await work()
        except Exception as error:
            if said != (said := repr(error)):
                get_logger().exception("work that should never end has failed; it begins anew")
        await asyncio.sleep(ANEW)


async def end(*tasks: asyncio.Task[None]) -> None:
    """Cancel tasks and return when all have ended; how they ended does not matter.

    One cancellation is not enough: redis-py waits with `asyncio.wait_for`, which before Python 3.12 swallows the
    cancellation if the answer comes at the same moment, and the task would run on for ever.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=AGAIN)
