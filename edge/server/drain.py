"""Drain: an edge that has to stop evicts its subscribers a few at a time.

Load balancers see by the edge's readiness that it stops, and need some seconds to notice. Until then it accepts and
serves as before, but every answer is its connection's last. Then it stops listening, answers the polls, and evicts the
other subscribers evenly over the time that is left, so that they do not reach the other edges all at once. To shed is
to do only this last part, when an operator asks for it: down to some number of connections, at a set pace.
"""

import asyncio
from collections.abc import Callable
from enum import IntEnum
from typing import Protocol

from aiohttp import web

from common.errors import BadRequestError
from common.logs import get_logger
from common.service.graceful_close import HANDSHAKE_TIMEOUT, LAST_REQUEST_TIMEOUT
from common.service.http import json_answer
from common.tasks import run_in_turns
from edge.counters import CloseReason
from edge.server.handler import RequestHandler
from edge.server.listener import Listener
from edge.subscribers.lifecycle import Lifecycle

DEFAULT_PER_SECOND = 100  # connections that are shed in a second if the request does not say
MAX_PER_SECOND = 10_000
EVICTION_PERIOD = 0.05  # seconds between two evictions of the connections that are due


class Phase(IntEnum):
    """How far a drain is."""

    SERVING = 0  # no drain
    NOTICE = 1  # not ready, but serving until load balancers have noticed that
    EVICTING = 2  # not listening; subscribers are evicted


class Drain:
    """Evicts all subscribers in `seconds`; after `notice` of these it stops listening. `ask` does what SIGTERM does."""

    def __init__(
        self,
        seconds: float,
        notice: float,
        listener: Listener,
        handler: RequestHandler,
        lifecycle: Lifecycle,
        ask: Callable[[], None],
    ) -> None:
        self.phase = Phase.SERVING
        self._seconds = seconds
        self._notice = notice
        self._listener = listener
        self._handler = handler
        self._lifecycle = lifecycle
        self._ask = ask
        self._shedder = Shedder(lifecycle)

    @property
    def has_begun(self) -> bool:
        """Whether the edge drains."""
        return self.phase is not Phase.SERVING

    async def run(self) -> None:
        """Evict every subscriber; return when none is left, at the latest after `seconds`."""
        ends_at = asyncio.get_running_loop().time() + self._seconds
        await self._serve_until_noticed()
        self.phase = Phase.EVICTING
        self._listener.close()
        self._handler.reject_subscribers()
        last_requests = min(LAST_REQUEST_TIMEOUT, (self._seconds - self._notice) / 2)
        await self._evict_until(ends_at - last_requests)
        await asyncio.sleep(last_requests)

    async def stop(self) -> None:
        """Shed no more."""
        await self._shedder.stop()

    async def _serve_until_noticed(self) -> None:
        self.phase = Phase.NOTICE
        self._handler.close_connections()
        await self._shedder.stop()
        get_logger().info("draining", connections=self._lifecycle.subscribers, seconds=self._seconds)
        last_handshakes = min(HANDSHAKE_TIMEOUT, self._notice)
        await asyncio.sleep(self._notice - last_handshakes)
        self._listener.refuse_new()
        await asyncio.sleep(last_handshakes)

    async def _evict_until(self, ends_at: float) -> None:
        clock = asyncio.get_running_loop().time
        try:
            async with asyncio.timeout_at(ends_at):
                await run_in_turns(self._lifecycle.answer_polls(CloseReason.DRAIN), clock)
                await evict_at_pace(self._lifecycle, 0, _evenly_until(ends_at), CloseReason.DRAIN)
        except TimeoutError:
            left = self._lifecycle.subscribers
            get_logger().warning("the time to drain is up; the remaining connections end at once", connections=left)

    async def on_request(self, request: web.Request) -> web.Response:
        """Answer `POST /drain`, which does what SIGTERM does; with `to=N` it sheds connections down to N instead.

        Raises `BadRequestError` for anything else in the query.
        """
        if "to" in request.query:
            return await self._shedder.shed_to(request)
        if request.query:
            raise BadRequestError("give to=N to shed connections, or nothing at all to drain this edge and end it")
        self._ask()
        connections = self._lifecycle.subscribers
        return json_answer({"connections": connections, "draining": True, "seconds": self._seconds}, 202)


class Shedder:
    """Answers `POST /drain?to=N&per_second=M` on the internal port."""

    def __init__(self, lifecycle: Lifecycle) -> None:
        self._lifecycle = lifecycle
        self._task: asyncio.Task[None] | None = None

    async def shed_to(self, request: web.Request) -> web.Response:
        """Begin to shed connections down to `to`; a later call replaces this one, so one with a large `to` stops it."""
        goal = _number(request, "to", 0, 1_000_000, None)
        pace = _number(request, "per_second", 1, MAX_PER_SECOND, DEFAULT_PER_SECOND)
        await self.stop()
        self._task = asyncio.create_task(evict_at_pace(self._lifecycle, goal, lambda over: pace, CloseReason.SHED))
        return json_answer({"connections": self._lifecycle.subscribers, "to": goal, "per_second": pace}, 202)

    async def stop(self) -> None:
        """Shed no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None


class Evictable(Protocol):
    """The part of a lifecycle that is emptied at a pace."""

    @property
    def subscribers(self) -> int:
        """How many subscribers there are."""

    def evict_oldest(self, count: int, reason: CloseReason) -> int:
        """Evict the `count` oldest subscribers that may go now, and return how many these were."""


async def evict_at_pace(lifecycle: Evictable, goal: int, rate: Callable[[int], float], reason: CloseReason) -> None:
    """Evict the oldest connections until `goal` are left.

    `rate` returns how many to evict in a second, from the number that are too many. The first one is evicted at once.
    """
    clock = asyncio.get_running_loop().time
    due, then = 1.0, clock()
    while (over := lifecycle.subscribers - goal) > 0:
        due -= lifecycle.evict_oldest(min(int(due), over), reason)
        await asyncio.sleep(EVICTION_PERIOD)
        then, elapsed = (now := clock()), now - then
        due += rate(over) * elapsed


def _evenly_until(ends_at: float) -> Callable[[int], float]:
    """Return the rate for `evict_at_pace` that is even over the time until `ends_at`."""
    clock = asyncio.get_running_loop().time
    return lambda left: left / max(ends_at - EVICTION_PERIOD - clock(), EVICTION_PERIOD)


def _number(request: web.Request, name: str, least: int, most: int, default: int | None) -> int:
    """Read a whole number from the query; raises `BadRequestError` if it is missing or out of its range."""
    text = request.query.get(name, "" if default is None else str(default))
    if not (text.isascii() and text.isdigit() and least <= int(text[:9]) <= most):
        raise BadRequestError(f"{name}: give a whole number from {least} to {most}, for example /drain?to=1000")
    return int(text)
