import asyncio
from contextlib import suppress

import pytest
from structlog.testing import capture_logs

from common import tasks
from common.tasks import end, for_ever


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


async def test_work_that_fails_begins_anew_and_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever went wrong, it goes on; the same failure is one line in the log, another one is a second line."""
    monkeypatch.setattr(tasks, "ANEW", 0)
    failures = [ValueError("a"), ValueError("a"), KeyError("b"), ValueError("a")]
    done = asyncio.Event()

    async def work() -> None:
        if failures:
            raise failures.pop()
        done.set()
        await asyncio.sleep(60)

    with capture_logs() as log:
        task = asyncio.create_task(for_ever(work))
        async with asyncio.timeout(10):
            await done.wait()
            await end(task)
    assert [line["event"] for line in log] == ["work that should never end has failed; it begins anew"] * 3
