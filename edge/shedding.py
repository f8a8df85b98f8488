"""Shedding: an edge sends its oldest connections away at a set pace, so that newer edges fill up."""

import asyncio

from aiohttp import web

from common.errors import BadRequestError
from common.http import json_answer
from edge.holding import Holding
from edge.seats import Seats

PER_SECOND = 100  # connections sent away in a second, unless asked otherwise
MOST_PER_SECOND = 10_000
TICKS_PER_SECOND = 20


class Shedder:
    """Answers `POST /drain?to=N&per_second=M` on the internal port."""

    def __init__(self, seats: Seats, holding: Holding) -> None:
        self._seats = seats
        self._holding = holding
        self._task: asyncio.Task[None] | None = None

    async def drain(self, request: web.Request) -> web.Response:
        """Begin to shed connections down to `to`; another call changes the goal, `to` above the number stops it."""
        goal = _number(request, "to", 0, 1_000_000, None)
        pace = _number(request, "per_second", 1, MOST_PER_SECOND, PER_SECOND)
        await self.stop()
        self._task = asyncio.create_task(self._shed(goal, pace))
        return json_answer({"connections": len(self._seats), "to": goal, "per_second": pace}, 202)

    async def stop(self) -> None:
        """Shed no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _shed(self, goal: int, pace: int) -> None:
        due = 0.0
        while (over := len(self._seats) - goal) > 0:
            due += pace / TICKS_PER_SECOND
            count = min(int(due), over)
            due -= count
            self._holding.shed(count)
            await asyncio.sleep(1 / TICKS_PER_SECOND)


def _number(request: web.Request, name: str, least: int, most: int, default: int | None) -> int:
    """Read a whole number from the query; raises BadRequestError if it is missing or out of its range."""
    text = request.query.get(name, "" if default is None else str(default))
    if not (text.isascii() and text.isdigit() and least <= int(text[:9]) <= most):
        raise BadRequestError(f"{name}: give a whole number from {least} to {most}, for example /drain?to=1000")
    return int(text)
