"""What the handlers read of an HTTP request, as it was sent."""

from aiohttp import web

from common.errors import BadRequestError, RequestError, TooLargeError

FORM, JSON = "application/x-www-form-urlencoded", "application/json"
UNSUPPORTED = 415


def is_form(request: web.Request) -> bool:
    """Say whether a request is a form; without a body it is one, with all its fields in the query."""
    return request.content_type == FORM or (request.content_type != JSON and not request.can_read_body)


def check_json(request: web.Request) -> None:
    """Raise `RequestError` unless a request carries JSON, and nothing in its query."""
    if request.content_type != JSON:
        raise RequestError(f"content-type: must be {JSON} or {FORM}, not {request.content_type}", UNSUPPORTED)
    if query_of(request):
        raise BadRequestError("the query string must be empty when the body is JSON; put everything in the body")


def query_of(request: web.Request) -> bytes:
    """Return the query string; aiohttp's own reading of it hides bytes that are not UTF-8."""
    return request.raw_path.partition("?")[2].encode(errors="surrogateescape")


async def body_of(request: web.Request) -> bytes:
    """Return the body; raises `RequestError` if it is too large or broken."""
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise TooLargeError(f"the body is over {request.client_max_size} bytes; send fewer messages") from None
    except web.RequestPayloadError:
        raise BadRequestError("the body is broken: its encoding or length is not what the headers say") from None
