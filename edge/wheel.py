"""A timing wheel: deadlines for a hundred thousand things without a timer for each."""

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

TICKS_PER_SECOND = 4


class Timed(Protocol):
    """Something with a deadline; `tick` belongs to the wheel (0: not on it)."""

    deadline: float
    tick: int


T = TypeVar("T", bound=Timed)


class Wheel(Generic[T]):
    """Calls `on_due` for each thing whose deadline has passed, at most a quarter of a second late.

    Moving a deadline further away is the common case and costs nothing: the thing stays in its slot, and when its
    turn comes the wheel looks at the deadline again. A thing is in at most one valid slot; an entry in another slot,
    left behind by an earlier deadline, is recognised by its tick and skipped.
    """

    def __init__(self, on_due: Callable[[T], None], now: float) -> None:
        self._on_due = on_due
        self._slots: dict[int, list[T]] = {}
        self._tick = int(now * TICKS_PER_SECOND)

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

    def advance(self, now: float) -> None:
        """Call everything that became due up to `now`."""
        last = int(now * TICKS_PER_SECOND)
        while self._tick < last:
            self._tick += 1
            for thing in self._slots.pop(self._tick, ()):
                if thing.tick != self._tick:
                    continue
                thing.tick = 0
                if thing.deadline > now:
                    self.schedule(thing, thing.deadline)
                else:
                    self._on_due(thing)
