"""Ending tasks for certain."""

import asyncio

AGAIN = 0.1  # seconds after which a task that goes on is cancelled once more


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
