import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from structlog.testing import capture_logs

from common import tasks
from common.tasks import (
    TURN_BUDGET,
    Tasks,
    TurnBudget,
    TurnQueue,
    Worker,
    cancel_all,
    run_forever,
    run_in_turns,
)

TIMEOUT = 10.0


class FakeClock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Gate:
    """Work that begins, waits until the gate is opened, and ends."""

    def __init__(self) -> None:
        self.begun = 0
        self.ended = 0
        self.open = asyncio.Event()

    async def work(self) -> None:
        """Wait for the gate."""
        self.begun += 1
        await self.open.wait()
        self.ended += 1


async def test_a_task_that_swallows_a_cancellation_is_still_ended() -> None:
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
    async with asyncio.timeout(TIMEOUT):
        await cancel_all(*tasks)
    assert swallowed.is_set()
    assert all(task.done() for task in tasks)
    assert isinstance(tasks[1].exception(), ValueError)


async def test_nothing_to_cancel_is_no_trouble() -> None:
    """No tasks, no waiting."""
    await cancel_all()


async def test_work_that_fails_starts_again_and_is_logged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever went wrong, it goes on; the same failure is one line in the log, another one is a second line."""
    monkeypatch.setattr(tasks, "RESTART_DELAY", 0)
    failures = [ValueError("a"), ValueError("a"), KeyError("b"), ValueError("a")]
    done = asyncio.Event()

    async def work() -> None:
        if failures:
            raise failures.pop()
        done.set()
        await asyncio.sleep(60)

    with capture_logs() as log:
        task = asyncio.create_task(run_forever(work))
        async with asyncio.timeout(TIMEOUT):
            await done.wait()
            await cancel_all(task)
    assert [line["event"] for line in log] == ["work that should never end has failed; it starts again"] * 3


async def test_a_set_of_tasks_is_full_at_its_limit_and_has_room_when_one_has_ended() -> None:
    """A task counts from its start until its end; over the limit none is started."""
    tasks, gate = Tasks(2), Gate()
    tasks.start(gate.work())
    assert not tasks.is_full
    tasks.start(gate.work())
    assert len(tasks) == 2
    assert tasks.is_full
    with pytest.raises(RuntimeError, match="2 tasks are running already"):
        tasks.start(gate.work())
    gate.open.set()
    for _ in range(3):  # turns: to wake, to end, to leave the set
        await asyncio.sleep(0)
    assert len(tasks) == 0
    assert not tasks.is_full
    assert (gate.begun, gate.ended) == (2, 2)


async def test_a_set_of_tasks_without_a_limit_is_never_full() -> None:
    """Any number of tasks may run; cancelling all of them empties the set."""
    tasks, gate = Tasks(), Gate()
    for _ in range(100):
        tasks.start(gate.work())
    assert len(tasks) == 100
    assert not tasks.is_full
    async with asyncio.timeout(TIMEOUT):
        await tasks.cancel_all()
    assert len(tasks) == 0
    assert gate.ended == 0


async def test_a_worker_has_one_task_however_often_it_is_woken() -> None:
    """While the task runs, waking changes nothing; after its end it starts another one."""
    gate = Gate()
    worker = Worker(gate.work)
    worker.wake()
    worker.wake()
    await asyncio.sleep(0)
    worker.wake()
    assert gate.begun == 1
    gate.open.set()
    await worker.finish(TIMEOUT)
    assert (gate.begun, gate.ended) == (1, 1)
    worker.wake()
    await worker.finish(TIMEOUT)
    assert (gate.begun, gate.ended) == (2, 2)


async def test_a_worker_that_does_not_finish_in_time_is_cancelled() -> None:
    """The work has the seconds that it is given, none by default; a worker that was never woken is finished at once."""
    gate = Gate()
    worker = Worker(gate.work)
    await worker.finish()
    worker.wake()
    async with asyncio.timeout(TIMEOUT):
        await worker.finish()
    assert (gate.begun, gate.ended) == (1, 0)


async def test_a_worker_whose_work_failed_can_be_woken_again() -> None:
    """A failure ends the task like a return."""
    done: list[int] = []

    async def work() -> None:
        done.append(len(done))
        raise ValueError

    worker = Worker(work)
    for _ in range(2):
        worker.wake()
        await worker.finish(TIMEOUT)
    assert done == [0, 1]


def test_a_budget_is_spent_after_its_seconds_and_whole_again_after_a_restart() -> None:
    """It begins when it is made; the clock alone decides."""
    clock = FakeClock()
    budget = TurnBudget(clock, 0.25)
    assert not budget.is_spent
    clock.now += 0.125
    assert not budget.is_spent
    clock.now += 0.125
    assert budget.is_spent
    budget.restart()
    assert not budget.is_spent
    clock.now += 0.25
    assert budget.is_spent


def test_a_budget_has_two_milliseconds_unless_told_otherwise() -> None:
    """That is what one turn may take."""
    clock = FakeClock()
    budget = TurnBudget(clock)
    assert TURN_BUDGET == 0.002
    clock.now += 0.0019
    assert not budget.is_spent
    clock.now += 0.0002
    assert budget.is_spent


async def test_steps_yield_to_the_loop_whenever_the_budget_of_a_turn_is_spent() -> None:
    """Each step takes half of a budget here, so that others have their turn after every second one."""
    clock = FakeClock()
    order: list[str] = []

    def steps() -> Iterator[None]:
        for number in range(4):
            order.append(f"step {number}")
            clock.now += 0.125
            yield

    async def other() -> None:
        for _ in range(2):
            order.append("other")
            await asyncio.sleep(0)

    running = asyncio.create_task(run_in_turns(steps(), clock, 0.25))
    others = asyncio.create_task(other())
    await asyncio.gather(running, others)
    assert order == ["step 0", "step 1", "other", "step 2", "step 3", "other"]


class Loop:
    """A turn queue, its event loop, and which things had their turns in each turn of the loop."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.clock = FakeClock()
        self.later: list[Callable[[], None]] = []
        self.turns: list[list[str]] = []
        self.again: dict[str, str] = {}  # which thing adds which at its turn
        self.rests = 0
        self._seconds = seconds  # that one thing takes
        self.queue: TurnQueue[str] = TurnQueue(self.clock, self.later.append, self._take, self._rest)

    def _take(self, thing: str) -> None:
        self.turns[-1].append(thing)
        self.clock.now += self._seconds
        if thing in self.again:
            self.queue.add(self.again.pop(thing))

    def _rest(self) -> None:
        self.rests += 1

    def run(self) -> list[list[str]]:
        """Run until nothing is left to do; return who had a turn when."""
        while self.later:
            (work,) = self.later
            self.later.clear()
            self.turns.append([])
            work()
        return self.turns


def test_all_that_wait_have_their_turns_in_order() -> None:
    """Each has one, however often it was added; those that are added meanwhile have theirs in the next round."""
    loop = Loop()
    loop.again = {"a": "c", "b": "a"}
    for thing in "abab":
        loop.queue.add(thing)
    assert loop.run() == [["a", "b"], ["c", "a"]]
    assert loop.rests == 2


def test_a_turn_of_the_loop_ends_when_its_budget_is_spent() -> None:
    """The rest follows in the next ones; one that is added again does not overtake it."""
    loop = Loop(seconds=TURN_BUDGET / 2)
    loop.again = {"a": "a"}
    for thing in "abcd":
        loop.queue.add(thing)
    assert loop.run() == [["a", "b"], ["c", "d"], ["a"]]


def test_what_waits_no_longer_has_no_turn() -> None:
    """Also if it goes during the turns of others; to let go of what does not wait is no trouble."""
    loop = Loop()
    for thing in "abc":
        loop.queue.add(thing)
    loop.queue.discard("b")
    loop.queue.discard("b")
    assert loop.run() == [["a", "c"]]
    assert not loop.queue.waiting
