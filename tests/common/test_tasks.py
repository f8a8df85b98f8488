import asyncio
from contextlib import suppress

from common.tasks import end


async def test_a_task_that_swallows_a_cancellation_is_ended_all_the_same() -> None:
    """It is cancelled again; a task that failed or ended before is no trouble."""
    swallowed = asyncio.Event()

    async def stubborn() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        swallowed.set()
        await asyncio.sleep(60)

    async def broken() -> None:
        raise ValueError

    async def short() -> None:
        pass

    tasks = [asyncio.create_task(work()) for work in (stubborn, broken, short)]
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await end(*tasks)
    assert swallowed.is_set()
    assert all(task.done() for task in tasks)
    assert isinstance(tasks[1].exception(), ValueError)


async def test_nothing_to_end_is_no_trouble() -> None:
    """No tasks, no waiting."""
    await end()
