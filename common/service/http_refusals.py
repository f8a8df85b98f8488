"""How large the parts of a request may be, and in which words a request is refused that aiohttp cannot read. Pure."""

from aiohttp import HttpVersion, HttpVersion10, HttpVersion11, http_exceptions

from common.errors import BadRequestError, RequestError

MAX_URL_BYTES = 2 << 20  # what the address bar of a browser can hold
MAX_FIELD_BYTES = 16384  # of one header: as much as an edge takes of all
MAX_HEADERS = 100  # as an edge takes
TOO_MANY_HEADERS = "Too many headers received"  # how aiohttp says it
MAX_SHOWN = 100  # characters of what aiohttp says
SPOKEN = frozenset({HttpVersion10, HttpVersion11})


def error_object(error: RequestError) -> dict[str, object]:
    """Return the JSON object of an error, as clients get it."""
    return {"type": "error", "code": error.status, "content": error.sentence}


def refusal(error: BaseException | None) -> RequestError | None:
    """Return what a client is told of a request that could not be read; None if something else failed."""
    if not isinstance(error, http_exceptions.HttpProcessingError):
        return None
    if isinstance(error, http_exceptions.LineTooLong):
        return _too_long(error)
    if isinstance(error, http_exceptions.InvalidURLError):
        return BadRequestError("the URL of this request cannot be read")
    if error.message == TOO_MANY_HEADERS:
        return RequestError(f"a request has at most {MAX_HEADERS} headers", 431)
    return BadRequestError(f"this is not a well-formed HTTP/1.1 request: {_first_line(error.message)}")


def check_version(version: HttpVersion) -> None:
    """Raise `RequestError` for a version of HTTP that aiohttp reads and no client of ours speaks."""
    if version not in SPOKEN:
        raise RequestError(f"HTTP/{version.major}.{version.minor} is not spoken here, HTTP/1.1 is", 505)


def _too_long(error: http_exceptions.LineTooLong) -> RequestError:
    """Tell a URL from a header by the limit that it is over."""
    if MAX_URL_BYTES in error.args:
        return RequestError(f"the URL is longer than {MAX_URL_BYTES} bytes; send a body instead", 414)
    return RequestError(f"a header is longer than {MAX_FIELD_BYTES} bytes", 431)


def _first_line(message: str) -> str:
    """Return the sentence of the parser, without the bytes that it shows below."""
    return message.strip().partition("\n")[0].rstrip(" :.")[:MAX_SHOWN]
