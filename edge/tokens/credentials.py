"""Credentials: which token a request carries, and whether a cookie may stand for one. Pure."""

from collections.abc import Mapping
from urllib.parse import unquote_plus

from common.browsers.orders import OWN
from common.errors import BadRequestError
from edge.protocol.http import Request
from edge.protocol.origins import EMBEDDED, Origins

PARAMETER = "token"
SCHEME = "bearer"
SEVERAL = "token: give one; this request has several, and it is not clear which one counts"


class Credentials:
    """Finds the token of a request: in its Authorization, else its query, else the cookie of this name (empty: none).

    A browser sends cookies for pages of every site. So a cookie counts only where the page is known: a script tag or a
    frame is of a page of this origin or of one on the list, and a WebSocket or a POST has an Origin, which is checked
    before. Any other GET has an Origin, which is checked, or is not of a page of another site: such a page could not
    read the answer, but would hold a subscriber of this user.
    """

    def __init__(self, origins: Origins, cookie: str = "") -> None:
        self._origins = origins
        self._cookie = cookie

    def of_subscriber(self, request: Request, transport: str) -> str:
        """Return the token of a GET, or an empty string; raises `BadRequestError` if there are several."""
        named = _named(request)
        if named or not self._cookie:
            return named
        headers = request.headers
        if transport in EMBEDDED:
            counts = self._origins.shows_page(headers)
        else:
            counts = bool(headers.get("origin"))
            if transport != "ws":
                counts = counts or headers.get("sec-fetch-site", "none") in OWN
        return _cookie(headers, self._cookie) if counts else ""

    def of_change(self, request: Request) -> str:
        """Return the token of a POST, or an empty string; raises `BadRequestError` if there are several."""
        named = _named(request)
        if named or not self._cookie or not request.headers.get("origin"):
            return named
        return _cookie(request.headers, self._cookie)


def _named(request: Request) -> str:
    """Return the token that a client has put into its request on purpose; a header is not in logs, so it wins."""
    in_query = _in_query(request.query)
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return (token.strip() if scheme.lower() == SCHEME else "") or in_query


def _in_query(query: str) -> str:
    if PARAMETER not in query and "%" not in query:
        return ""
    fields = [field.partition("=") for field in query.split("&")]
    tokens = [
        value for name, _, value in fields if name == PARAMETER or ("%" in name and unquote_plus(name) == PARAMETER)
    ]
    if len(tokens) > 1:
        raise BadRequestError(SEVERAL)
    return unquote_plus(tokens[0]) if tokens else ""


def _cookie(headers: Mapping[str, str], wanted: str) -> str:
    """Return the first cookie of a name: browsers send the one with the longest path first (RFC 6265 section 5.4)."""
    for pair in headers.get("cookie", "").split(";"):
        name, _, value = pair.partition("=")
        if name.strip() == wanted:
            return value.strip().strip('"')
    return ""
