"""`GET /openapi.json`: a port describes its own routes."""

from functools import cached_property
from pathlib import Path

from aiohttp import web

PATH = "/openapi.json"


class ApiDocument:
    """The handler of `/openapi.json`; the file is read at the first request, so that no start waits for it.

    `openapi_json.py` makes the file from the page in `docs/`.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    @property
    def route(self) -> web.RouteDef:
        """The route to add to an application."""
        return web.get(PATH, self._on_request)

    @cached_property
    def _body(self) -> bytes:
        return self._file.read_bytes()

    async def _on_request(self, request: web.Request) -> web.Response:
        return web.Response(body=self._body, content_type="application/json")
