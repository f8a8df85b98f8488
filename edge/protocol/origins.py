"""Origins: the pages that may subscribe. Pure."""

from collections.abc import Mapping

from common.errors import RequestError

EMBEDDED = frozenset({"jsonp", "iframe"})  # transports whose requests come from tags: browsers send no Origin with them
OWN = frozenset({"same-origin", "none"})  # of Sec-Fetch-Site: a page of the edge's own origin, or nobody's page
UNTOLD = "the page must say where it is from, with a Referer, because COMET_ALLOWED_ORIGINS is set"


class Origins:
    """The origins of COMET_ALLOWED_ORIGINS; none named means that all are allowed."""

    def __init__(self, allowed: tuple[str, ...]) -> None:
        self._allowed = allowed

    def admit(self, origin: str) -> str:
        """Return what Access-Control-Allow-Origin shall say to an origin; raises `RequestError` 403 for a foreign one.

        Who sends none is no browser, or loads a script, an image or a frame.
        """
        if not self._allowed:
            return "*"
        if origin and origin not in self._allowed:
            raise _refusal(f"origin {origin[:100]}")
        return origin

    def admit_page(self, transport: str, headers: Mapping[str, str]) -> None:
        """Raise `RequestError` 403 for a script tag or a frame, unless its page is of an allowed or our own origin.

        Where there is an Origin it was admitted already. Sec-Fetch-Site knows our own pages, but old browsers do not
        send it, and no browser over plain HTTP; all other pages are known by their Referer. Without any of them a frame
        is let in, for the browser keeps it from foreign pages; a script is not: nobody else would.
        """
        if not self._allowed or transport not in EMBEDDED or headers.get("origin"):
            return
        site, page = headers.get("sec-fetch-site", ""), _origin_of(headers.get("referer", ""))
        if site in OWN or page in self._allowed or (not site and _is_own(page, headers.get("host", ""))):
            return
        if page:
            raise _refusal(f"{transport}: a page of {page[:100]}")
        if site or transport == "jsonp":
            raise RequestError(f"{transport}: {UNTOLD}", 403)

    @property
    def ancestors(self) -> str:
        """The pages that may show a frame, as the CSP's frame-ancestors."""
        return " ".join(("'self'", *self._allowed)) if self._allowed else "*"


def _origin_of(referer: str) -> str:
    """Return the origin of a page's URL as browsers write it; empty if it has none."""
    scheme, separator, rest = referer.partition("://")
    authority = rest.partition("/")[0]
    return f"{scheme}://{authority}" if separator and authority else ""


def _is_own(page: str, host: str) -> bool:
    """Say whether a page is of the host that was asked; TLS ends elsewhere, so its scheme says nothing."""
    return bool(host) and page.partition("://")[2] == host


def _refusal(who: str) -> RequestError:
    return RequestError(f"{who} may not subscribe here; it is not in COMET_ALLOWED_ORIGINS", 403)
