"""JSONP: long-poll from a page of another origin, by a script tag. Pure."""

from collections.abc import Sequence

from edge.framing.base import Kind
from edge.framing.http import NO_OPENER, full_response, long_response
from edge.framing.items import as_script
from edge.framing.poll import PollFraming

HEADERS = ("Content-Disposition: attachment; filename=f.txt", NO_OPENER)


class JsonpFraming(PollFraming):
    """The poll's answer as a script that calls a function of the page.

    The comment in front prevents an answer that begins with bytes of the client's choice (Rosetta Flash). The file name
    prevents that a browser shows the answer when its URL is opened as a page.
    """

    kind = Kind("jsonp", single_response=True, cursor_in_bytes=True)
    content_type = "text/javascript; charset=utf-8"
    own_headers = (NO_OPENER,)

    def _respond(self, body: bytes) -> bytes:
        call = b"/**/%b(%b);\n" % (self.variant.callback.encode(), as_script(body))
        return full_response(200, self.content_type, call, self.variant, HEADERS)

    def _respond_long(self, body: Sequence[bytes]) -> list[bytes]:
        first, *rest = map(as_script, body)
        call = [b"/**/%b(%b" % (self.variant.callback.encode(), first), *rest, b");\n"]
        return long_response(self.content_type, call, self.variant, HEADERS)
