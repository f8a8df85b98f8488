"""JSONP: long-poll across domains, by a script tag. Pure."""

from edge.framing.http import full_response
from edge.framing.items import as_script
from edge.framing.poll import PollFraming


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
