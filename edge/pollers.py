"""The pollers of a channel that are between two polls: each counts as connected until it is overdue. Pure."""

from collections import deque


class AwayPollers:
    """When each poller that is away becomes overdue, in seconds of one clock, the earliest first."""

    __slots__ = ("_deadlines",)

    def __init__(self) -> None:
        self._deadlines: deque[float] = deque()

    def add(self, now: float, until: float) -> None:
        """A poll was answered; its client is expected back before `until`."""
        deadlines = self._deadlines
        while deadlines and deadlines[0] <= now:
            deadlines.popleft()
        deadlines.append(until)

    def take_one(self) -> None:
        """A poller is back; for a count it does not matter which one."""
        if self._deadlines:
            self._deadlines.popleft()

    def count(self, now: float) -> int:
        """Return how many pollers are expected back."""
        while self._deadlines and self._deadlines[0] <= now:
            self._deadlines.popleft()
        return len(self._deadlines)
