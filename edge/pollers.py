"""The pollers of a channel that are between two polls: each counts as connected until it is overdue. Pure.

What stands for them are counts, one for all that leave within a second, so that a client which polls in a loop takes no
memory. Which client is in which count is in edge/engine/absences.py.
"""


class Departed:
    """How many pollers left a channel within one second and are expected back before `until` (seconds)."""

    __slots__ = ("channel", "count", "first", "free", "until")

    def __init__(self, channel: str, until: float, first: int) -> None:
        self.channel = channel
        self.until = until
        self.first = first  # the tag of the position at which the first of them left; no other one left before it
        self.count = 0
        self.free = 0  # those of them whose connection is gone: any poll from such a position may be theirs


class AwayPollers:
    """The counts of one channel, the earliest first."""

    __slots__ = ("_channel", "_counts", "newest", "until")

    def __init__(self, channel: str) -> None:
        self.newest: tuple[Departed, ...] = ()  # the last count, by itself: all who are in it share this tuple
        self.until = -1.0  # of that count
        self._counts: tuple[Departed, ...] = ()  # most channels have one: it is `newest` itself then
        self._channel = channel

    def add(self, now: float, until: float, tag: int) -> tuple[Departed, ...]:
        """Count a poller that left at the position of a tag, and return the count that it is in, by itself."""
        if self.until != until:
            self._drop_overdue(now)
            self.newest, self.until = (Departed(self._channel, until, tag),), until
            self._counts = self._counts + self.newest if self._counts else self.newest
        self.newest[0].count += 1
        return self.newest

    def take_free(self, now: float, tag: int) -> Departed | None:
        """Take the last poller out that left at the position of a tag or before, and whose connection is gone."""
        for departed in reversed(self._counts):
            if departed.free and departed.first <= tag and departed.until > now:
                departed.free -= 1
                departed.count -= 1
                return departed
        return None

    def count(self, now: float) -> int:
        """Return how many pollers are expected back."""
        self._drop_overdue(now)
        return sum(departed.count for departed in self._counts)

    def _drop_overdue(self, now: float) -> None:
        if self._counts and self._counts[0].until <= now:
            self._counts = tuple([departed for departed in self._counts if departed.until > now])
