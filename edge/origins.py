"""Origins: the pages that may subscribe. Pure."""

from common.errors import RequestError


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
            raise RequestError(f"origin {origin[:100]} may not subscribe here; it is not in COMET_ALLOWED_ORIGINS", 403)
        return origin

    @property
    def ancestors(self) -> str:
        """The pages that may show a frame, as the CSP's frame-ancestors: a frame's request does not tell its page."""
        return " ".join(("'self'", *self._allowed)) if self._allowed else "*"
