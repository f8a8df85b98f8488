"""The pollers of a channel that are between two polls: they count as connected until they are overdue. Pure."""

from collections import deque


class AwayPollers:
    """Until when each poller that is away is expected back, in seconds of one clock; the earliest first."""

    __slots__ = ("_deadlines",)

    def __init__(self) -> None:
        self._deadlines: deque[float] = deque()

    def add(self, now: float, until: float) -> None:
        """A poller left that is expected back before `until`."""
        deadlines = self._deadlines
        while deadlines and deadlines[0] <= now:
            deadlines.popleft()
        deadlines.append(until)

    def take_one(self) -> None:
        """A poller came back; which one does not matter to a count."""
        if self._deadlines:
            self._deadlines.popleft()

    def count(self, now: float) -> int:
        """Return how many are expected back."""
        while self._deadlines and self._deadlines[0] <= now:
            self._deadlines.popleft()
        return len(self._deadlines)
