"""How the handlers read an HTTP request: form or JSON, the query string and the body, as they were sent."""

from aiohttp import web

from common.errors import BadRequestError, RequestError
from publisher.body.encoding import UNSUPPORTED_MEDIA_TYPE, check_encoding, decode_body
from publisher.request import too_much

FORM, JSON = "application/x-www-form-urlencoded", "application/json"


def is_form(request: web.Request) -> bool:
    """Say whether a request is a form; one without a body is a form too, with all its fields in the query string."""
    return request.content_type == FORM or (request.content_type != JSON and not request.can_read_body)


def check_json(request: web.Request) -> None:
    """Raise `RequestError` unless a request carries JSON and an empty query string."""
    if request.content_type != JSON:
        raise RequestError(
            f"content-type: must be {JSON} or {FORM}, not {request.content_type}", UNSUPPORTED_MEDIA_TYPE
        )
    if query_of(request):
        raise BadRequestError("the query string must be empty when the body is JSON; put everything in the body")


def query_of(request: web.Request) -> bytes:
    """Return the query string as it was sent; what aiohttp makes of it hides bytes that are not UTF-8."""
    return request.raw_path.partition("?")[2].encode(errors="surrogateescape")


async def body_of(request: web.Request) -> bytes:
    """Return the body; raises `RequestError` if it is too large, broken, or in an encoding that is not read."""
    encoding = check_encoding(request.headers.get("Content-Encoding", "identity"))
    try:
        body = await request.read()
    except web.HTTPRequestEntityTooLarge:
        size = request.client_max_size
        raise too_much(f"the body is over {size} bytes", size) from None
    except (web.RequestPayloadError, ConnectionError):  # of the client, which may have gone
        raise BadRequestError("the body is broken: its length is not what the headers say") from None
    return decode_body(encoding, body, request.client_max_size)
