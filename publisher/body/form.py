"""A query string and a form body in, names and values out. Pure.

What looks like another way to say it is told which, because the fault is not where the parser finds it.
"""

from urllib.parse import parse_qsl

from common.errors import BadRequestError, RequestError
from common.names import check_parameter

MAX_PARAMETERS = 1000
IGNORED = "_"  # some clients add it so that no cache has the address
JSON_SENT_AS_FORM = (
    "content-type: the body is JSON and was sent as a form; send Content-Type: application/json (curl: --json)"
)


def read_form(query: bytes, body: bytes = b"") -> list[tuple[str, str]]:
    """Return the parameters of a query string and then of a form body, in order; raises `RequestError`."""
    if body.lstrip().startswith((b'{"', b"[{", b"{}", b"[]")):
        raise RequestError(JSON_SENT_AS_FORM, 415)
    pairs = [pair for pair in _pairs(query) + _pairs(body) if pair[0] != IGNORED]
    for name, _ in pairs:
        check_parameter(name)
    return pairs


def _pairs(raw: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(raw.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS)
    except UnicodeDecodeError:
        raise BadRequestError("the parameters must be UTF-8, percent-encoded") from None
    except ValueError:
        raise BadRequestError(f"a request has at most {MAX_PARAMETERS} parameters") from None
