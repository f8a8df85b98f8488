"""Redis' clock, seen from here: how long ago something got its tag.

A tag is Redis' microsecond clock, and nobody promises that this machine's clock agrees with it. So the two are never
compared. Redis is asked for its time every few seconds, and of the last answers the one that was shortest on its way
places Redis' clock on our monotonic one: right within half that way, a fraction of a millisecond in one network.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NamedTuple

from redis import RedisError

PERIOD = 5.0
REMEMBERED = 6
SLACK = 0.005  # seconds that two measurements may differ more than their ways explain


class Sample(NamedTuple):
    """One look at Redis' clock: how long it took, and what to add to our clock to get Redis' time."""

    way: float
    offset: float


class RedisClock:
    """Asks for Redis' time (seconds, microseconds) and remembers by how much it is ahead of `clock`."""

    def __init__(self, ask: Callable[[], Awaitable[tuple[int, int]]], clock: Callable[[], float]) -> None:
        self._ask = ask
        self._clock = clock
        self._samples: deque[Sample] = deque(maxlen=REMEMBERED)
        self._best: Sample | None = None

    def age(self, tag: int, now: float) -> float | None:
        """Return how many seconds before `now`, a moment of our clock, a tag was given; None while nobody knows."""
        if self._best is None:
            return None
        return max(now + self._best.offset - tag / 1e6, 0.0)

    async def run(self) -> None:
        """Look at Redis' clock again and again, until cancelled; while Redis is away the last looks hold."""
        while True:
            with suppress(RedisError, OSError):  # the bus tells of it, and readiness
                await self.look()
            await asyncio.sleep(PERIOD)

    async def look(self) -> None:
        """Look once; raises RedisError or OSError if Redis does not answer."""
        sent = self._clock()
        seconds, microseconds = await self._ask()
        received = self._clock()
        self._take(Sample(received - sent, seconds + microseconds / 1e6 - (sent + received) / 2))

    def _take(self, sample: Sample) -> None:
        best = self._best
        if best and abs(sample.offset - best.offset) > (sample.way + best.way) / 2 + SLACK:
            self._samples.clear()  # the clock was set, or it is another server's
        self._samples.append(sample)
        self._best = min(self._samples)
