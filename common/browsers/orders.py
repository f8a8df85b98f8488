"""Orders: which pages may have their browser send a request that changes something. Pure.

Any page may have the browser send a form, an image's GET or a `fetch` without reading the answer; with the address in
reach of whoever opens the page, that is an order from a stranger. Browsers say so in two headers, which no page can
forge: `Sec-Fetch-Site` (over HTTPS, and to this machine) and `Origin` (with everything but a plain GET). A request
without either is from no browser, or from one that says nothing; only a key tells these apart.
"""

from collections.abc import Mapping

from common.browsers.hosts import parse_host
from common.browsers.origins import OriginList
from common.errors import RequestError
from common.url import DEFAULT_PORTS

FOREIGN = "cross-site"  # values of Sec-Fetch-Site: a page of another site,
OWN = frozenset({"same-origin", "none"})  # one of this origin, and no page at all
MAX_SHOWN = 100


class Orders:
    """Checks the page behind an order; `allowed` has the foreign origins that may give one."""

    def __init__(self, allowed: OriginList) -> None:
        self._allowed = allowed

    def check(self, headers: Mapping[str, str]) -> None:
        """Raise `RequestError` 403 for an order of a foreign page; `headers` are found by their lower-case names."""
        site = headers.get("sec-fetch-site", "")
        if site in OWN:
            return
        origin = headers.get("origin", "")
        if site == FOREIGN:
            page = f"a page of {_shown(origin)}" if origin else "a page"
            raise RequestError(
                f"{page} may not change anything here, since it is of another site (Sec-Fetch-Site: {FOREIGN}); "
                "have a backend send this, or a page of this server",
                403,
            )
        if origin and not is_own(origin, headers.get("host", "")) and not self._allowed.has(origin):
            raise RequestError(
                f"a page of {_shown(origin)} may not change anything here; its origin is neither this server's "
                "own nor in COMET_ALLOWED_ORIGINS",
                403,
            )


def _shown(origin: str) -> str:
    """Return an origin as an answer may repeat it: cut, and in ASCII, for a header may hold half a character."""
    return origin[:MAX_SHOWN].encode("ascii", "backslashreplace").decode()


def is_own(origin: str, host: str) -> bool:
    """Say whether a page is of the requested host.

    The scheme is not compared, because TLS ends elsewhere; nor the port with a Host without one, because a proxy may
    have left it out.
    """
    scheme, separator, authority = origin.partition("://")
    page, own = parse_host(authority), parse_host(host)
    if not separator or page is None or own is None or page.name != own.name:
        return False
    return not own.port or own.port == (page.port or DEFAULT_PORTS.get(scheme, ""))
