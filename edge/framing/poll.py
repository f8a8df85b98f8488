"""Framings of connections that are answered once: long-poll, and its cross-domain form JSONP."""

from collections.abc import Sequence

from edge.framing.base import Framing, Item, Variant, as_script, full_response, json_object


class PollFraming(Framing):
    """Long-poll: one JSON object with all that is new and the position to ask from next."""

    transport = "poll"
    single_response = True
    cursor_in_bytes = True
    content_type = "application/json"

    def __init__(self, variant: Variant) -> None:
        super().__init__(variant)
        size = variant.session_size
        self._session = b'"session":"%b",' % (b"*" * size) if size else b""

    def head(self, retry_ms: int, key: str = "") -> bytes:
        """Return nothing: a poll is answered in one piece."""
        return b""

    def encode(self, items: Sequence[Item], cursor: str) -> bytes:
        """Return the complete answer."""
        messages = b",".join(map(json_object, items))
        return self._respond(b'{"seq":"%b",%b"messages":[%b]}' % (cursor.encode(), self._session, messages))

    def farewell(self, cursor: str) -> bytes:
        """Return an empty answer: the client goes on, elsewhere, from the same position."""
        return self.encode([], cursor)

    def _respond(self, body: bytes) -> bytes:
        return full_response(200, self.content_type, body + b"\n", self.variant)


class JsonpFraming(PollFraming):
    """JSONP: the poll's answer as a call of the page's own function, loaded by a script tag.

    The comment in front keeps the answer from starting with bytes of the client's choice (Rosetta Flash), and
    the file name keeps it from being rendered when the URL is opened as a page.
    """

    transport = "jsonp"
    content_type = "text/javascript; charset=utf-8"

    def _respond(self, body: bytes) -> bytes:
        call = b"/**/%b(%b);\n" % (self.variant.callback.encode(), as_script(body))
        disposition = ("Content-Disposition: attachment; filename=f.txt",)
        return full_response(200, self.content_type, call, self.variant, disposition)
