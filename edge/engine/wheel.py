"""A timing wheel, which keeps deadlines of 100,000 things without a timer for each, and the ticks that turn it."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from common.logs import get_logger

TICKS_PER_SECOND = 4
TICK_PERIOD = 0.25  # seconds
THINGS_PER_TURN = 128  # a heartbeat to each takes about 2 ms


class Timed(Protocol):
    """A thing with a deadline in seconds; its `tick` belongs to the wheel (0: it is not on the wheel)."""

    deadline: float
    tick: int


T = TypeVar("T", bound=Timed)


class Wheel(Generic[T]):
    """Calls `on_due` with the things whose deadline has passed, at most a quarter of a second late.

    To move a deadline further away is the common case and costs nothing: the thing stays in its slot, and when the
    wheel comes to that slot it looks at the deadline again. A thing's `tick` names its slot. An entry that an earlier
    deadline has left in another slot is skipped.

    The subscribers of one channel are all due at once, a heartbeat period after its last message. So one call of
    `advance` looks at THINGS_PER_TURN things, and between two calls the event loop may do something else.
    """

    def __init__(self, now: float, on_due: Callable[[Sequence[T]], None] = lambda things: None) -> None:
        self.on_due = on_due  # upward: the deadlines of these things have passed
        self._slots: dict[int, list[T]] = {}
        self._tick = int(now * TICKS_PER_SECOND)
        self._slot: list[T] = []  # the things of this tick that `advance` has not looked at

    def schedule(self, thing: T, deadline: float) -> None:
        """Set a thing's deadline, in place of the one that it had."""
        thing.deadline = deadline
        due = deadline * TICKS_PER_SECOND
        if 0 < thing.tick <= due + 1:
            return
        tick = thing.tick = max(int(due), self._tick) + 1
        slot = self._slots.get(tick)
        if slot is None:
            self._slots[tick] = [thing]
        else:
            slot.append(thing)

    def expire(self, thing: T) -> None:
        """Let a thing's deadline be now."""
        self.on_due((thing,))

    def advance(self, now: float) -> bool:
        """Look at the next few things up to `now`, give `on_due` those that are due; return whether there are more."""
        due: list[T] = []
        for thing in self._next_things(int(now * TICKS_PER_SECOND)):
            if thing.tick != self._tick:
                continue
            thing.tick = 0
            if thing.deadline > now:
                self.schedule(thing, thing.deadline)
            else:
                due.append(thing)
        if due:
            self.on_due(due)
        return bool(self._slot) or self._tick < int(now * TICKS_PER_SECOND)

    def _next_things(self, last: int) -> list[T]:
        """Remove and return some things of the earliest slot that has any, up to the slot of tick `last`."""
        while not self._slot and self._tick < last:
            self._tick += 1
            self._slot = self._slots.pop(self._tick, [])
        things = self._slot[-THINGS_PER_TURN:]
        del self._slot[-THINGS_PER_TURN:]
        return things


async def run_ticks(parts: Sequence[Callable[[], bool]]) -> None:
    """Call each part every TICK_PERIOD, and again while it returns that there is more to do; runs until cancelled."""
    while True:
        await asyncio.sleep(TICK_PERIOD)
        for part in parts:
            await _run_part(part)


async def _run_part(part: Callable[[], bool]) -> None:
    """Call one part until it has nothing more to do; a bug in it stops neither its next ticks nor the other parts."""
    try:
        while part():  # noqa: ASYNC110  # it is work, not a wait
            await asyncio.sleep(0)
    except Exception:
        get_logger().exception("some deadlines were not kept")
