"""What the aiohttp services share: answers and errors of one JSON line, and a listener that names its setting."""

import logging

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler

from common.errors import RequestError, UnauthorizedError, UnavailableError, cannot_listen
from common.logs import get_logger

SHUTDOWN_TIMEOUT = 1.5  # seconds that requests in flight have at the end, and once more after they are cancelled
MAX_SHOWN_PATH = 100  # characters of a wrong path that the answer repeats

# aiohttp logs a traceback for every request that is not HTTP; the 400 that the client gets is enough.
_server_logger = logging.getLogger("common.service.http")
_server_logger.setLevel(logging.CRITICAL)


def json_answer(value: object, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """Return an answer of one JSON line."""
    body = orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)
    return web.Response(body=body, status=status, headers=headers, content_type="application/json")


def error_object(error: RequestError) -> dict[str, object]:
    """Return the JSON object of an error, as clients get it."""
    return {"type": "error", "code": error.status, "content": error.sentence}


def error_headers(error: RequestError) -> dict[str, str]:
    """Return the headers of an error: when to try again, how to authenticate."""
    if isinstance(error, UnauthorizedError):
        return {"WWW-Authenticate": 'Bearer realm="comet"'}
    return {"Retry-After": str(error.retry_after)} if isinstance(error, UnavailableError) else {}


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every error with one JSON line; an unexpected exception is logged here and answered with a plain 500."""
    try:
        return await handler(request)
    except RequestError as error:
        return json_answer(error_object(error), error.status, error_headers(error))
    except web.HTTPException as error:
        allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        return json_answer(error_object(RequestError(_sentence(request, error), error.status)), error.status, allow)
    except Exception:
        get_logger().exception("a request failed unexpectedly", method=request.method, path=request.path)
        return json_answer(error_object(RequestError("the server failed; its log says why", 500)), 500)


async def listen(
    app: web.Application, host: str, port: int, port_variable: str, *, shutdown_timeout: float = SHUTDOWN_TIMEOUT
) -> web.AppRunner:
    """Serve `app` until `cleanup()` of the returned runner.

    Requests in flight have `shutdown_timeout` seconds then, and once more after they are cancelled. Raises
    `SettingsError` that names `port_variable`, or the setting of its host, if the address cannot be listened on.
    """
    runner = web.AppRunner(app, access_log=None, logger=_server_logger, shutdown_timeout=shutdown_timeout)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except (OSError, UnicodeError) as error:  # UnicodeError: the host cannot be looked up as a name
        await runner.cleanup()
        raise cannot_listen(port_variable, host, port, error) from None
    return runner


def port_of(runner: web.AppRunner) -> int:
    """Return the port that a runner listens on: the actual one if it was told 0."""
    return int(runner.addresses[0][1])


def _sentence(request: web.Request, error: web.HTTPException) -> str:
    if isinstance(error, web.HTTPNotFound):
        return f"{request.path[:MAX_SHOWN_PATH]} is not a path of this server"
    if isinstance(error, web.HTTPMethodNotAllowed):
        return f"{request.method} is not allowed here; use {' or '.join(sorted(error.allowed_methods))}"
    return error.reason
