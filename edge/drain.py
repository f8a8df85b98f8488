"""Drain: an edge that is told to go lets everybody know, a few at a time.

Load balancers learn from readiness that an edge goes, and take some seconds to learn it. Until then it accepts and
serves as ever, only that every answer is its connection's last. Then it stops listening, answers the polls, and ends
the held connections evenly over the time that is left: the other edges see a stream of newcomers and no herd.
"""

import asyncio
from collections.abc import Callable

from aiohttp import web

from common.errors import BadRequestError
from common.logs import get_logger
from common.service.graceful_close import HANDSHAKE
from common.service.http import json_answer
from edge.server.handler import RequestHandler
from edge.server.listener import Listener
from edge.shedding import TICK, Shedder, send_away
from edge.subscribers.lifecycle import Lifecycle

LAST_WORD = 1.0  # seconds in which a request that is on its way on a connection of old still comes in time


class Drain:
    """Empties one edge in so many seconds; after `notice` of them it stops listening. `began` says that it is at it."""

    def __init__(
        self,
        seconds: float,
        notice: float,
        listener: Listener,
        handler: RequestHandler,
        lifecycle: Lifecycle,
        shedder: Shedder,
    ) -> None:
        self.began = False
        self.ask: Callable[[], None]  # set by the app: what POST /drain does
        self._seconds = seconds
        self._notice = notice
        self._listener = listener
        self._handler = handler
        self._lifecycle = lifecycle
        self._shedder = shedder

    async def run(self) -> None:
        """Send everybody away; returns when nobody is left, at the latest when the time is up."""
        ends_at = asyncio.get_running_loop().time() + self._seconds
        self.began = self._handler.closing = True
        await self._shedder.stop()
        get_logger().info("draining", connections=self._lifecycle.held, seconds=self._seconds)
        last_handshakes = min(HANDSHAKE, self._notice)
        await asyncio.sleep(self._notice - last_handshakes)
        self._listener.refuse_new()
        await asyncio.sleep(last_handshakes)
        self._listener.close()
        self._handler.leaving = True
        last_word = min(LAST_WORD, (self._seconds - self._notice) / 2)
        await self._send_away_until(ends_at - last_word)
        await asyncio.sleep(last_word)

    async def _send_away_until(self, ends_at: float) -> None:
        try:
            async with asyncio.timeout_at(ends_at):
                await self._lifecycle.answer_polls("drain")
                await send_away(self._lifecycle, 0, _evenly_until(ends_at), "drain")
        except TimeoutError:
            get_logger().warning("the time to drain is up; the rest goes at once", connections=self._lifecycle.held)

    async def on_request(self, request: web.Request) -> web.Response:
        """Answer `POST /drain`: the same as SIGTERM; with `to=N` only so many connections go, and the edge stays."""
        if "to" in request.query:
            return await self._shedder.shed_to(request)
        if request.query:
            raise BadRequestError("give to=N to shed connections, or nothing at all to drain this edge and end it")
        self.ask()
        return json_answer({"connections": self._lifecycle.held, "draining": True, "seconds": self._seconds}, 202)


def _evenly_until(ends_at: float) -> Callable[[int], float]:
    """Return the rate at which connections must go to be gone by then, given how many are left."""
    clock = asyncio.get_running_loop().time
    return lambda left: left / max(ends_at - TICK - clock(), TICK)
