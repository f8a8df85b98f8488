"""Origins: which web pages may subscribe. Pure."""

from collections.abc import Mapping

from common.browsers.orders import OWN
from common.browsers.origins import OriginList
from common.errors import RequestError
from common.url import NULL_ORIGIN

EMBEDDED = frozenset({"jsonp", "iframe"})  # transports that a tag requests: browsers send no Origin for these
TOP_LEVEL = "document"  # as Sec-Fetch-Dest
NO_PAGE = "this is a part of a page, for a script tag or a frame; it cannot be opened as a page itself"
NO_REFERER = "the page must send a Referer that says where it is from, because COMET_ALLOWED_ORIGINS is set"


class Origins:
    """The origins of COMET_ALLOWED_ORIGINS, written as browsers write theirs; none named means that all are allowed."""

    def __init__(self, allowed: tuple[str, ...]) -> None:
        self._allowed = allowed
        self._has = OriginList(allowed).has

    def admit(self, origin: str) -> str:
        """Return Access-Control-Allow-Origin for a request's origin; raises `RequestError` 403 if it is not allowed.

        A client that sends no origin is admitted: it is no browser, or a browser that loads a script, image or frame.
        """
        if not self._allowed:
            return "*"
        if origin and not self._has(origin):
            raise _refusal(f"origin {origin[:100]}")
        return origin

    def readable_by(self, origin: str) -> str:
        """Return what Access-Control-Allow-Origin shall say of an error; empty for an origin that is not admitted."""
        if not self._allowed:
            return "*"
        return origin if self._has(origin) else ""

    def admit_page(self, transport: str, headers: Mapping[str, str]) -> None:
        """Raise `RequestError` 403 for a script tag or a frame whose page is neither of an allowed nor of this origin.

        Without a list all pages are. A request with an Origin is left to `admit`. Sec-Fetch-Site shows pages of this
        origin, but old browsers do not send it, and no browser does over plain HTTP. Any other page is known by its
        Referer. Without both headers a frame is admitted, because the browser shows it to allowed pages only
        (`ancestors`); a script is not, because nothing else protects it.

        Neither may be a page of its own, in a tab or a pop-up: that is its own parent, and what it calls there belongs
        to this server's origin.
        """
        if transport not in EMBEDDED:
            return
        if headers.get("sec-fetch-dest", "") == TOP_LEVEL:
            raise RequestError(f"{transport}: {NO_PAGE}", 403)
        if not self._allowed or headers.get("origin"):
            return
        site, page = headers.get("sec-fetch-site", ""), _origin_of(headers.get("referer", ""))
        if site in OWN or self._has(page) or (not site and _is_own(page, headers.get("host", ""))):
            return
        if page:
            raise _refusal(f"{transport}: a page of {page[:100]}")
        if site or transport == "jsonp":
            raise RequestError(f"{transport}: {NO_REFERER}", 403)

    def shows_page(self, headers: Mapping[str, str]) -> bool:
        """Say whether a script tag or a frame is, as its browser says, of a page of this origin or one on the list."""
        return headers.get("sec-fetch-site") == "same-origin" or self._has(_origin_of(headers.get("referer", "")))

    @property
    def ancestors(self) -> str:
        """The pages that may show a frame, as the value of frame-ancestors in a Content-Security-Policy."""
        named = (
            origin for origin in self._allowed if origin != NULL_ORIGIN
        )  # a frame's parent without an origin has no name
        return " ".join(("'self'", *named)) if self._allowed else "*"


def _origin_of(referer: str) -> str:
    """Return the origin of a page's URL as browsers write it, or an empty string."""
    scheme, separator, rest = referer.partition("://")
    authority = rest.partition("/")[0]
    return f"{scheme}://{authority}" if separator and authority else ""


def _is_own(page: str, host: str) -> bool:
    """Say whether a page is of the requested host; the scheme is not compared, because TLS ends elsewhere."""
    return bool(host) and page.partition("://")[2] == host


def _refusal(page: str) -> RequestError:
    return RequestError(f"{page} may not subscribe here; it is not in COMET_ALLOWED_ORIGINS", 403)
