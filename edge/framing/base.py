"""The interface of a framing, which turns items (items.py) into the bytes of one transport; and what it made. Pure."""

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from common.position import Position, Positions
from edge.framing.http import Variant, error_response, retry_headers
from edge.framing.items import Item

MAX_ANSWER_BYTES = 8_388_608  # of messages in one answer; the last one may go beyond it
SHORT_DATA = 16_384  # bytes: to copy so few is cheaper than to keep apart what is shared of them


class Kind(NamedTuple):
    """What a transport is like."""

    transport: str
    single_response: bool = False  # answered once (long-poll, JSONP); else the connection is held open
    bidirectional: bool = False  # the client may send, too, while it is held
    cursor_in_bytes: bool = False  # the bytes of an item depend on the positions on all channels


class Framing:
    """Makes the bytes of one transport.

    All connections that need the same bytes share one instance, so that a message is encoded once for all of them.
    Therefore an instance knows nothing about a single connection.
    """

    kind: ClassVar[Kind]
    content_type: ClassVar[str]
    own_headers: ClassVar[tuple[str, ...]] = ()  # that refusals have, too
    heartbeat: bytes = b""
    end: bytes = b""  # ends a held response
    too_slow: bytes = b""  # the last bytes for a reader that is evicted because it is too slow; none: it gets none

    def __init__(self, variant: Variant) -> None:
        self.variant = variant
        # Copied, because this is read several times for each message: an attribute of an instance costs least.
        self.transport, self.single_response, self.bidirectional, self.cursor_in_bytes = self.kind
        self.session_size, self.closing = variant.session_size, variant.closing

    def head(self, retry_ms: int, ws_accept: str = "") -> bytes:
        """Return what is sent before the first item.

        `retry_ms` is after how many milliseconds a client shall reconnect; `ws_accept` answers a WebSocket handshake.
        """
        raise NotImplementedError

    def encode(self, items: Sequence[Item], cursor: str) -> bytes:
        """Return the bytes of some items; `cursor` is what a client sends back to go on after the last of them."""
        raise NotImplementedError

    def part(self, items: Sequence[Item]) -> bytes:
        """Return the bytes of some items, which are a part of what a subscriber gets of one channel."""
        return self.encode(items, items[-1].cursor)

    def answer(self, parts: Sequence[bytes], cursor: str) -> list[bytes]:
        """Return the one answer with these parts, the first of it the poll's own; only with a `single_response`."""
        raise NotImplementedError

    def split(self, data: bytes) -> tuple[bytes, bytes]:
        """Return what `encode` made in two pieces: the first ends with what is the subscriber's own, if anything is."""
        return b"", data

    def retry(self, retry_ms: int) -> bytes:
        """Return what makes a client wait before it reconnects, in milliseconds, if the transport can say that."""
        return b""

    def farewell(self, cursor: str) -> bytes:
        """Return the last bytes for a subscriber that is evicted; its client goes on from `cursor`."""
        raise NotImplementedError

    def last_error(self, item: Item) -> bytes:
        """Return an error after which nothing comes, and the end of a held response."""
        return self.encode([item], "") + self.end

    def refusal(self, status: int, sentence: str, retry_after: float) -> bytes:
        """Return the whole answer to a subscriber that is rejected and may try again after `retry_after` seconds."""
        extra = (*(retry_headers(retry_after) if retry_after else ()), *self.own_headers)
        variant = self.variant if self.single_response else self.variant._replace(closing=True)
        return error_response(status, sentence, variant, extra)


class Bundle:
    """Some items of one channel, and their bytes in each framing, made once for all who get them.

    `cursor` is what a subscriber sends back to go on after them.
    """

    __slots__ = ("cursor", "encoded", "items", "split")

    def __init__(self, items: list[Item], cursor: str) -> None:
        self.items = items
        self.cursor = cursor
        self.encoded: dict[Framing, bytes] = {}
        self.split: dict[Framing, tuple[bytes, ...]] | None = None  # the same for framings with a session

    def encode(self, framing: Framing) -> bytes:
        """Return the items' bytes in a framing, encoded once for all seats that share it."""
        data = self.encoded.get(framing)
        if data is None:
            data = self.encoded[framing] = framing.encode(self.items, self.cursor)
        return data

    def pieces(self, framing: Framing) -> tuple[bytes, Sequence[bytes]]:
        """Return the same, and apart what all share after the beginning, if a session is to be filled in there."""
        if not framing.session_size:
            return self.encode(framing), ()
        if self.split is None:
            self.split = {}
        pieces = self.split.get(framing)
        if pieces is None:
            data = framing.encode(self.items, self.cursor)
            pieces = self.split[framing] = framing.split(data) if len(data) >= SHORT_DATA else (data,)
        return pieces[0], pieces[1:]

    def shared(self, framing: Framing) -> bytes | None:
        """Return the bytes that all who get this in a framing share, if they are made already."""
        if not framing.session_size:
            return self.encoded.get(framing)
        return self.split[framing][-1] if self.split is not None and framing in self.split else None


class Encoded:
    """Some messages of a channel, encoded for one framing; their `lease` keeps them among the bytes under way."""

    __slots__ = ("count", "data", "lease")

    def __init__(self, data: bytes, count: int, lease: object = None) -> None:
        self.data = data
        self.count = count
        self.lease = lease


class Batch:
    """What a poll is answered with that was behind on its channels: pieces of their logs, as bytes.

    Each piece is encoded once for all polls of one framing that get it, and their answers share its bytes.
    """

    __slots__ = ("count", "parts", "positions", "size", "starts")

    def __init__(self, starts: list[Position | None]) -> None:
        self.starts = starts  # from which the poll goes on, one for each of its channels
        self.parts: list[Encoded] = []
        self.count = self.size = 0  # of the messages
        self.positions: dict[str, Position] = {}  # after what was read of each channel

    @property
    def is_full(self) -> bool:
        """Whether it holds as much as one answer may."""
        return self.size >= MAX_ANSWER_BYTES

    def add(self, part: Encoded) -> None:
        """Put messages behind the others."""
        self.parts.append(part)
        self.count += part.count
        self.size += len(part.data)

    def move(self, positions: Positions | None) -> None:
        """Move a poll's positions to the end of what was read."""
        if positions is not None:
            positions.update({name: str(at) for name, at in self.positions.items()})

    def put_first(self, part: Encoded) -> None:
        """Put something before the messages."""
        self.parts.insert(0, part)

    @property
    def longest(self) -> bytes | None:
        """The part with the most bytes: whoever waits for the same has it parked."""
        return max((part.data for part in self.parts), key=len, default=None)

    def answer(self, framing: Framing, cursor: str) -> list[bytes]:
        """Return the whole answer, the poll's own first; polls with the same messages share the rest."""
        return framing.answer([part.data for part in self.parts], cursor)
