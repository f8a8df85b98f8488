"""Drain: a publisher that is told to end serves on until load balancers have noticed that it is not ready."""

import asyncio
from collections.abc import Callable

from aiohttp import web

from common.errors import BadRequestError
from common.logs import get_logger
from common.service.http import json_answer


class Drain:
    """Serves on for `notice` seconds; from its beginning on, every answer closes its connection.

    `seconds` is the whole time that a drain may take (`COMET_DRAIN_SECONDS`). `ask` does what
    SIGTERM does, and is called for `POST /drain`.
    """

    def __init__(self, seconds: float, notice: float, ask: Callable[[], None]) -> None:
        self.has_begun = False
        self._seconds = seconds
        self._notice = notice
        self._ask = ask

    def begin(self) -> None:
        """Be not ready, and make every answer from now on the last of its connection."""
        self.has_begun = True

    async def run(self) -> None:
        """Begin, and return when load balancers have had time to notice."""
        self.begin()
        get_logger().info("draining", seconds=self._seconds)
        await asyncio.sleep(self._notice)

    async def on_request(self, request: web.Request) -> web.Response:
        """Answer `POST /drain`: the same as SIGTERM. Raises `BadRequestError` if parameters are given."""
        if request.query:
            raise BadRequestError("give no parameters: a publisher holds no connections to send away")
        self._ask()
        return json_answer({"draining": True, "seconds": self._seconds}, 202)

    async def close_after(self, request: web.Request, response: web.StreamResponse) -> None:
        """Make an answer that is about to go out the last of its connection, once the drain has begun."""
        if self.has_begun:
            response.force_close()
            response.headers["Connection"] = "close"
