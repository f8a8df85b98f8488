"""A timing wheel: deadlines for a hundred thousand things without a timer for each."""

from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

TICKS_PER_SECOND = 4
STEP = 128  # things looked at in one step: a heartbeat to each takes about two milliseconds


class Timed(Protocol):
    """Something with a deadline; `tick` belongs to the wheel (0: not on it)."""

    deadline: float
    tick: int


T = TypeVar("T", bound=Timed)


class Wheel(Generic[T]):
    """Calls `on_due` with the things whose deadline has passed, at most a quarter of a second late.

    Moving a deadline further away is the common case and costs nothing: the thing stays in its slot, and when its
    turn comes the wheel looks at the deadline again. A thing is in at most one valid slot; an entry in another slot,
    left behind by an earlier deadline, is recognised by its tick and skipped.

    The subscribers of one channel are all due together, a heartbeat after its last message. So the wheel turns in
    steps, and between two of them others may have their turn.
    """

    def __init__(self, on_due: Callable[[Sequence[T]], None], now: float) -> None:
        self._on_due = on_due
        self._slots: dict[int, list[T]] = {}
        self._tick = int(now * TICKS_PER_SECOND)
        self._slot: list[T] = []  # what is left to look at of the slot of this tick

    def schedule(self, thing: T, deadline: float) -> None:
        """Have `thing` called when `deadline` has passed, instead of when it was due before."""
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

    def advance(self, now: float) -> bool:
        """Look at the next few things up to `now`, call those that are due, and say whether there are more."""
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
            self._on_due(due)
        return bool(self._slot) or self._tick < int(now * TICKS_PER_SECOND)

    def _next_things(self, last: int) -> list[T]:
        """Take some things from the earliest slot that has any, up to the one of tick `last`."""
        while not self._slot and self._tick < last:
            self._tick += 1
            self._slot = self._slots.pop(self._tick, [])
        things = self._slot[-STEP:]
        del self._slot[-STEP:]
        return things
