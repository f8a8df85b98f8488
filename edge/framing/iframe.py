"""The forever iframe: a page that never ends, and calls a function of the page around it for each item. Pure."""

from collections.abc import Sequence

from edge.framing.base import Kind
from edge.framing.http import NO_OPENER, Variant, full_response, retry_headers
from edge.framing.items import Item, as_script, close_item, error_item, json_object
from edge.framing.streaming import StreamingFraming

# Some browsers show and run nothing before they have received a kilobyte.
_START = b"<!doctype html><title>comet</title>\n<!--%b-->\n" % (b" " * 1024)
_TAGS = ((b"<", b"\\u003c"), (b">", b"\\u003e"))  # `</script>` or `<!--` in a string must not end the script


class IframeFraming(StreamingFraming):
    """One script for each item; page and edge must have the same origin, or the browser keeps them apart.

    The Content-Security-Policy forbids the frame everything except its own scripts, and names the pages that may
    show it. The function's name has no dots: in a tab of its own the frame is its own parent, and a name such as
    `opener.document.forms.pay.submit` would be an order to the page that opened it.
    """

    kind = Kind("iframe")
    content_type = "text/html; charset=utf-8"
    beat = b"\n"

    def __init__(self, variant: Variant) -> None:
        self._policy = f"default-src 'none'; script-src 'unsafe-inline'; frame-ancestors {variant.ancestors}"
        super().__init__(variant)

    def extra_headers(self) -> Sequence[str]:
        """Return the Content-Security-Policy, and what keeps it out of reach as a page of its own."""
        return f"Content-Security-Policy: {self._policy}", NO_OPENER

    def head(self, retry_ms: int, ws_accept: str = "") -> bytes:
        """Return the response head and the beginning of the page."""
        return self._head + self._wrap(_START)

    def encode_item(self, item: Item) -> bytes:
        """Return a script that calls the page's function."""
        text = as_script(json_object(item))
        for character, escaped in _TAGS:
            text = text.replace(character, escaped)
        return b"<script>parent.%b(%b)</script>\n" % (self.variant.callback.encode(), text)

    def farewell(self, cursor: str) -> bytes:
        """Return a close object and the end of the page."""
        return self.encode([close_item()], cursor) + self.end

    def refusal(self, status: int, sentence: str, retry_after: float) -> bytes:
        """Return the error as a page that calls the function, because a page cannot read the status of a frame."""
        body = _START + self.encode_item(error_item(status, sentence))
        extra = (*retry_headers(retry_after), *self.extra_headers())
        return full_response(status, self.content_type, body, self.variant._replace(closing=True), extra)
