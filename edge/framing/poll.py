"""Long-poll: a request that is answered once, when there is something to send or at its time-out. Pure."""

from collections.abc import Sequence

from edge.framing.base import Framing, Kind
from edge.framing.http import Variant, full_response, long_response
from edge.framing.items import SESSION_BLANK, Item, json_object


class PollFraming(Framing):
    """One JSON object with all new items, and the position from which the client polls next."""

    kind = Kind("poll", single_response=True, cursor_in_bytes=True)
    content_type = "application/json"

    def __init__(self, variant: Variant) -> None:
        super().__init__(variant)
        size = variant.session_size
        self._session = b'"session":"%b",' % (SESSION_BLANK * size).encode() if size else b""

    def head(self, retry_ms: int, ws_accept: str = "") -> bytes:
        """Return nothing: the whole answer is in `encode`."""
        return b""

    def encode(self, items: Sequence[Item], cursor: str) -> bytes:
        """Return the complete answer."""
        messages = b",".join(map(json_object, items))
        return self._respond(b'{"seq":"%b",%b"messages":[%b]}' % (cursor.encode(), self._session, messages))

    def part(self, items: Sequence[Item]) -> bytes:
        """Return the objects of some items, which stand in an answer."""
        return b",".join(map(json_object, items))

    def answer(self, parts: Sequence[bytes], cursor: str) -> list[bytes]:
        """Return the complete answer with these parts, which are not copied; what is the poll's own comes first."""
        body = [b'{"seq":"%b",%b"messages":[' % (cursor.encode(), self._session)]
        for part in parts:
            body += (part, b",")
        if parts:
            body.pop()
        return self._respond_long([*body, b"]}"])

    def split(self, data: bytes) -> tuple[bytes, bytes]:
        """Cut behind the session, which stands before the messages."""
        end = data.index(self._session) + len(self._session)
        return data[:end], data[end:]

    def farewell(self, cursor: str) -> bytes:
        """Return an answer without items: the client goes on from the same position, here or on another edge."""
        return self.encode([], cursor)

    def _respond(self, body: bytes) -> bytes:
        return full_response(200, self.content_type, body + b"\n", self.variant)

    def _respond_long(self, body: Sequence[bytes]) -> list[bytes]:
        return long_response(self.content_type, [*body, b"\n"], self.variant)
