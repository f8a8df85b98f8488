"""Shedding: connections are sent away at a set pace; to some number for newer edges' sake, or all for a drain."""

import asyncio
from collections.abc import Callable

from aiohttp import web

from common.errors import BadRequestError
from common.service.http import json_answer
from edge.subscribers.lifecycle import Lifecycle

PER_SECOND = 100  # connections sent away in a second, unless asked otherwise
MOST_PER_SECOND = 10_000
TICK = 0.05  # seconds between two looks at who is to go


class Shedder:
    """Answers `POST /drain?to=N&per_second=M` on the internal port."""

    def __init__(self, lifecycle: Lifecycle) -> None:
        self._lifecycle = lifecycle
        self._task: asyncio.Task[None] | None = None

    async def shed_to(self, request: web.Request) -> web.Response:
        """Begin to shed connections down to `to`; another call changes the goal, `to` above the number stops it."""
        goal = _number(request, "to", 0, 1_000_000, None)
        pace = _number(request, "per_second", 1, MOST_PER_SECOND, PER_SECOND)
        await self.stop()
        self._task = asyncio.create_task(send_away(self._lifecycle, goal, lambda over: pace, "shed"))
        return json_answer({"connections": self._lifecycle.held, "to": goal, "per_second": pace}, 202)

    async def stop(self) -> None:
        """Shed no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None


async def send_away(lifecycle: Lifecycle, goal: int, rate: Callable[[int], float], reason: str) -> None:
    """Send the oldest connections away until `goal` are left.

    `rate` says how many shall go in a second, given how many are too many. The first goes at once.
    """
    clock = asyncio.get_running_loop().time
    due, then = 1.0, clock()
    while (over := lifecycle.held - goal) > 0:
        due -= lifecycle.send_away(min(int(due), over), reason)
        await asyncio.sleep(TICK)
        then, elapsed = (now := clock()), now - then
        due += rate(over) * elapsed


def _number(request: web.Request, name: str, least: int, most: int, default: int | None) -> int:
    """Read a whole number from the query; raises BadRequestError if it is missing or out of its range."""
    text = request.query.get(name, "" if default is None else str(default))
    if not (text.isascii() and text.isdigit() and least <= int(text[:9]) <= most):
        raise BadRequestError(f"{name}: give a whole number from {least} to {most}, for example /drain?to=1000")
    return int(text)
