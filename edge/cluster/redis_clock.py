"""Redis' clock as this process knows it, to find out how old a message is.

A tag is the time of Redis' clock in microseconds. This machine's clock may differ from it, so the two are not compared.
Instead Redis is asked for its time every few seconds. Of the last answers the one with the shortest round trip gives
the offset between Redis' clock and the monotonic clock here. The error is at most half of that round trip: a fraction
of a millisecond in one network.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NamedTuple

from redis import RedisError

PERIOD = 5.0  # seconds between two samples
MAX_SAMPLES = 6
MAX_ERROR = 0.005  # seconds by which two offsets may differ beyond what their round trips explain


class Sample(NamedTuple):
    """One answer of Redis: the seconds of its round trip, and what to add to this process' clock to get Redis' time."""

    round_trip: float
    offset: float


class RedisClock:
    """Keeps the offset between Redis' clock and `clock`; `ask` returns Redis' time as seconds and microseconds."""

    def __init__(self, ask: Callable[[], Awaitable[tuple[int, int]]], clock: Callable[[], float]) -> None:
        self._ask = ask
        self._clock = clock
        self._samples: deque[Sample] = deque(maxlen=MAX_SAMPLES)
        self._best: Sample | None = None

    def age(self, tag: int, now: float) -> float | None:
        """Return how many seconds before `now`, a time of `clock`, Redis made a tag; None before the first sample."""
        if self._best is None:
            return None
        return max(now + self._best.offset - tag / 1e6, 0.0)

    async def run(self) -> None:
        """Take a sample every PERIOD until cancelled; while Redis is down, the last samples stay in use."""
        while True:
            with suppress(RedisError, OSError):  # the log and readiness show that Redis is down
                await self.look()
            await asyncio.sleep(PERIOD)

    async def look(self) -> None:
        """Take one sample; raises `RedisError` or `OSError` if Redis does not answer."""
        sent = self._clock()
        seconds, microseconds = await self._ask()
        received = self._clock()
        self._add(Sample(received - sent, seconds + microseconds / 1e6 - (sent + received) / 2))

    def _add(self, sample: Sample) -> None:
        best = self._best
        if best and abs(sample.offset - best.offset) > (sample.round_trip + best.round_trip) / 2 + MAX_ERROR:
            self._samples.clear()  # Redis' clock was set, or another server answers
        self._samples.append(sample)
        self._best = min(self._samples)
