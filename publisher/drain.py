"""Drain: a publisher that is told to go serves on until load balancers have noticed that it is not ready."""

import asyncio
from collections.abc import Callable

from aiohttp import web

from common.errors import BadRequestError
from common.logs import get_logger
from common.service.http import json_answer


class Drain:
    """Lets `notice` of so many seconds pass; `began` says that it is at it, and that every answer is the last."""

    def __init__(self, seconds: float, notice: float) -> None:
        self.began = False
        self.ask: Callable[[], None]  # set by the app: what POST /drain does
        self._seconds = seconds
        self._notice = notice

    async def run(self) -> None:
        """Be not ready, and serve on."""
        self.began = True
        get_logger().info("draining", seconds=self._seconds)
        await asyncio.sleep(self._notice)

    async def on_request(self, request: web.Request) -> web.Response:
        """Answer `POST /drain`: the same as SIGTERM."""
        if request.query:
            raise BadRequestError("give nothing at all: a publisher holds no connections that could be sent away")
        self.ask()
        return json_answer({"draining": True, "seconds": self._seconds}, 202)

    async def close_after(self, request: web.Request, response: web.StreamResponse) -> None:
        """Make an answer that is about to go out its connection's last, if the publisher goes."""
        if self.began:
            response.force_close()
            response.headers["Connection"] = "close"
