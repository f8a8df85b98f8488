"""Background tasks: some run for ever, some on demand; they yield in time, and cancelling them never fails."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable, Iterable
from typing import Any, Generic, TypeVar

from common.logs import get_logger

CANCEL_RETRY = 0.1  # seconds after which a task that goes on is cancelled once more
RESTART_DELAY = 1.0  # seconds after which work that failed starts again
TURN_BUDGET = 0.002  # seconds that work takes of one turn of the event loop before others have their turn

Work = Callable[[], Coroutine[Any, Any, None]]
T = TypeVar("T", bound=Hashable)


async def run_forever(work: Work) -> None:
    """Run work that never ends; if it fails it starts again, and each failure is logged unless it repeats the last.

    Nothing awaits such a task: one that died would be noticed only by what it no longer does.
    """
    logged = ""
    while True:
        try:
            await work()
        except Exception as error:
            failure = repr(error)
            if failure != logged:
                get_logger().exception("work that should never end has failed; it starts again")
            logged = failure
        await asyncio.sleep(RESTART_DELAY)


async def run_in_turns(steps: Iterable[None], clock: Callable[[], float], seconds: float = TURN_BUDGET) -> None:
    """Run all steps, and yield to the event loop whenever `seconds` of a turn are spent."""
    budget = TurnBudget(clock, seconds)
    for _ in steps:
        if budget.is_spent:
            await asyncio.sleep(0)
            budget.restart()


async def cancel_all(*tasks: asyncio.Task[None]) -> None:
    """Cancel tasks and return when all have ended; their results and exceptions are dropped.

    One cancellation is not enough: redis-py waits with `asyncio.wait_for`, which before Python 3.12 swallows the
    cancellation if the answer comes at the same moment, and the task would run on for ever.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=CANCEL_RETRY)


class Tasks:
    """A set of running tasks, at most `limit` of them if that is given; a task leaves the set when it ends."""

    __slots__ = ("_limit", "_running")

    def __init__(self, limit: int | None = None) -> None:
        self._limit = limit
        self._running: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._running)

    @property
    def is_full(self) -> bool:
        """Whether the limit is reached."""
        return self._limit is not None and len(self._running) >= self._limit

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Start a task; raises `RuntimeError` if the set is full, so look at `is_full` first."""
        if self.is_full:
            work.close()
            raise RuntimeError(f"{self._limit} tasks are running already")
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def cancel_all(self) -> None:
        """Cancel the tasks that are running and return when all have ended."""
        await cancel_all(*self._running)


class Worker:
    """Work that runs in one task: the task starts when it is woken, and ends by itself when nothing is left to do."""

    __slots__ = ("_task", "_work")

    def __init__(self, work: Work) -> None:
        self._work = work
        self._task: asyncio.Task[None] | None = None

    def wake(self) -> None:
        """Start the task unless it is running."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work())

    async def finish(self, seconds: float = 0.0) -> None:
        """Let the task end by itself within `seconds`, then cancel it."""
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=seconds)
            await cancel_all(self._task)


class TurnBudget:
    """How long work may go on in one turn of the event loop; it begins when it is made. `clock` counts seconds."""

    __slots__ = ("_clock", "_ends_at", "_seconds")

    def __init__(self, clock: Callable[[], float], seconds: float = TURN_BUDGET) -> None:
        self._clock = clock
        self._seconds = seconds
        self._ends_at = clock() + seconds

    @property
    def is_spent(self) -> bool:
        """Whether others should have their turn now."""
        return self._clock() >= self._ends_at

    def restart(self) -> None:
        """Begin a new turn."""
        self._ends_at = self._clock() + self._seconds


class TurnQueue(Generic[T]):
    """Things that wait for their turn, each of them once; `take` gives one its turn, and may add it again.

    One turn of the event loop serves those that wait when it begins, as far as its budget allows, and then calls
    `rest`. `call_soon` is the event loop's.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        call_soon: Callable[..., object],
        take: Callable[[T], None],
        rest: Callable[[], None] = lambda: None,
    ) -> None:
        self.waiting: OrderedDict[T, None] = OrderedDict()  # the next one comes first
        self._clock = clock
        self._call_soon = call_soon
        self._take = take
        self._rest = rest
        self._is_due = False  # a call of `_work` is scheduled

    def add(self, thing: T) -> None:
        """Let a thing have its turn, unless it waits for it already."""
        self.waiting[thing] = None
        self._go_on_soon()

    def discard(self, thing: T) -> None:
        """Let a thing wait no longer, if it does."""
        self.waiting.pop(thing, None)

    def _go_on_soon(self) -> None:
        if self.waiting and not self._is_due:
            self._is_due = True
            self._call_soon(self._work)

    def _work(self) -> None:
        self._is_due = False
        budget = TurnBudget(self._clock, TURN_BUDGET)
        for _ in range(len(self.waiting)):
            if self.waiting:  # a turn may end another's wait
                self._take(self.waiting.popitem(last=False)[0])
            if budget.is_spent:
                break
        self._go_on_soon()
        self._rest()
