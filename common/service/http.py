"""What the aiohttp services share: answers and errors of one JSON line, a listener that names its setting, and the
document of a port's routes.
"""

import logging
from functools import cached_property, partial
from pathlib import Path

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler

from common.errors import BadRequestError, RequestError, UnauthorizedError, cannot_listen, shown_path
from common.logs import get_logger
from common.service.addresses import open_listeners
from common.service.http_refusals import (
    MAX_FIELD_BYTES,
    MAX_HEADERS,
    MAX_URL_BYTES,
    check_version,
    error_object,
    refusal,
)
from common.service.punctual import REQUEST_TIMEOUT, PunctualConnection

BACKLOG = 1024  # connections that wait to be accepted; behind more of them a client tries again after a second
SHUTDOWN_TIMEOUT = 1.5  # seconds that requests in flight have at the end, and once more after they are cancelled
MAX_SHOWN_PATH = 100  # characters of a path that an answer or the log repeats

GONE = BadRequestError("the connection was closed before the request was complete")

# aiohttp logs what its parts do; every failure is logged here, and a request that is not HTTP is answered only.
_server_logger = logging.getLogger("common.service.http")
_server_logger.setLevel(logging.CRITICAL)


def json_answer(value: object, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """Return an answer of one JSON line."""
    body = orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)
    return web.Response(body=body, status=status, headers=headers, content_type="application/json")


def error_headers(error: RequestError) -> dict[str, str]:
    """Return the headers of an error: when to try again, how to authenticate."""
    if isinstance(error, UnauthorizedError):
        return {"WWW-Authenticate": 'Bearer realm="comet"'}
    return {"Retry-After": str(error.retry_after)} if error.retry_after else {}


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every error with one JSON line; an unexpected exception is logged here and answered with a plain 500."""
    try:
        check_version(request.version)
        return await handler(request)
    except RequestError as error:
        return json_answer(error_object(error), error.status, error_headers(error))
    except web.HTTPException as error:
        allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        return json_answer(error_object(RequestError(_sentence(request, error), error.status)), error.status, allow)
    except Exception as error:
        if isinstance(error, ConnectionError) and _has_gone(request):
            return json_answer(error_object(GONE), GONE.status)  # which nobody reads
        return _unexpected(request, error)


def _has_gone(request: web.Request) -> bool:
    """Say whether a client closed its connection in the middle of its request, or of the answer."""
    return request.transport is None or request.transport.is_closing()


def _unexpected(request: web.BaseRequest, error: BaseException | None) -> web.Response:
    path = shown_path(request.path, MAX_SHOWN_PATH)
    get_logger().error("a request failed unexpectedly", method=request.method, path=path, exc_info=error)
    return json_answer(error_object(RequestError("the server failed; its log says why", 500)), 500)


class ApiDocument:
    """The handler of `/openapi.json`; the file is read at the first request, so that no start waits for it.

    `openapi_json.py` makes the file from the page in `docs/`.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    @property
    def route(self) -> web.RouteDef:
        """The route to add to an application."""
        return web.get("/openapi.json", self._on_request)

    @cached_property
    def _body(self) -> bytes:
        return self._file.read_bytes()

    async def _on_request(self, request: web.Request) -> web.Response:
        return web.Response(body=self._body, content_type="application/json")


class _Connection(PunctualConnection):
    """Answers in our words where aiohttp would answer in its own: before there is a request, or after its handler."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Return the answer to what is not a request, or whose answer failed; it is the last of its connection."""
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun; nothing can be said any more")
        error = refusal(exc)
        answer = json_answer(error_object(error), error.status) if error else _unexpected(request, exc)
        answer.force_close()
        return answer


class _Server(web.Server):
    """Makes the connections of a listener."""

    def __call__(self) -> web.RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)


class _Runner(web.AppRunner):
    """Runs an application with our server, which also answers what aiohttp raises before the application's part."""

    __slots__ = ()

    async def _make_server(self) -> web.Server:
        plain = await super()._make_server()
        handler = partial(errors_as_json, handler=plain.request_handler)
        return _Server(handler, request_factory=plain.request_factory, **plain._kwargs)


async def listen(
    app: web.Application,
    host: str,
    port: int,
    port_variable: str,
    *,
    request_timeout: float = REQUEST_TIMEOUT,
    shutdown_timeout: float = SHUTDOWN_TIMEOUT,
) -> web.AppRunner:
    """Serve `app` until `cleanup()` of the returned runner.

    A request must be complete after `request_timeout` seconds (punctual.py). Those in flight at the end have
    `shutdown_timeout` seconds then, and once more after they are cancelled. Raises `SettingsError` that names
    `port_variable`, or the setting of its host, if the address cannot be listened on.
    """
    runner = _Runner(
        app,
        access_log=None,
        auto_decompress=False,  # a body is inflated where its limit is known (publisher/body/encoding.py)
        logger=_server_logger,
        request_timeout=request_timeout,
        shutdown_timeout=shutdown_timeout,
        max_line_size=MAX_URL_BYTES,
        max_field_size=MAX_FIELD_BYTES,
        max_headers=MAX_HEADERS,
    )
    await runner.setup()
    try:
        for listener in open_listeners(host, port):
            await web.SockSite(runner, listener, backlog=BACKLOG).start()
    except (OSError, UnicodeError) as error:  # UnicodeError: the host cannot be looked up as a name
        await runner.cleanup()
        raise cannot_listen(port_variable, host, port, error) from None
    return runner


def port_of(runner: web.AppRunner) -> int:
    """Return the port that a runner listens on: the actual one if it was told 0."""
    return int(runner.addresses[0][1])


def _sentence(request: web.Request, error: web.HTTPException) -> str:
    if isinstance(error, web.HTTPNotFound):
        return f"{shown_path(request.path, MAX_SHOWN_PATH)} is not a path of this server"
    if isinstance(error, web.HTTPMethodNotAllowed):
        return f"{request.method} is not allowed here; use {' or '.join(sorted(error.allowed_methods))}"
    if isinstance(error, web.HTTPExpectationFailed):
        return "expect: only 100-continue is understood here"
    return error.reason
