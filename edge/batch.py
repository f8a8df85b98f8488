"""What a poll is answered with that was behind on its channels: pieces of their logs, as bytes. Pure.

Each piece is encoded once for all polls of one framing that get it, and so is an answer that many of them get.
"""

from common.position import Position, Positions
from edge.framing.base import Framing

MAX_ANSWER_BYTES = 8_388_608  # of messages in one answer; the last one may go beyond it


class Encoded:
    """Some messages of a channel, encoded for one framing; `of` is what keeps them among the bytes under way."""

    __slots__ = ("answers", "count", "data", "of")

    def __init__(self, data: bytes, count: int, of: object = None) -> None:
        self.data = data
        self.count = count
        self.of = of
        self.answers: dict[tuple[object, ...], tuple[bytes, bytes]] = {}  # that end with these messages


class Batch:
    """The messages of one poll."""

    __slots__ = ("count", "is_cut", "parts", "positions", "size", "starts")

    def __init__(self, starts: list[Position | None]) -> None:
        self.starts = starts  # from which the poll goes on, one for each of its channels
        self.parts: list[Encoded] = []
        self.count = self.size = 0  # of the messages
        self.positions: dict[str, Position] = {}  # after what was read of each channel
        self.is_cut = False  # there is more: the client goes on from where this ends

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

    def shared(self, framing: Framing) -> bytes | None:
        """Return the bytes that all polls with these messages share, if another one's answer was made already."""
        for (of, _, *before), (_, rest) in self.parts[-1].answers.items() if self.parts else ():
            if of is framing and before == self.parts[:-1]:
                return rest
        return None

    def answer(self, framing: Framing, cursor: str) -> tuple[bytes, bytes]:
        """Return the whole answer in two pieces, the poll's own first; polls with the same messages share them."""
        key = (framing, cursor, *self.parts[:-1])
        shared = self.parts[-1].answers if self.parts else {}
        if key not in shared:
            shared[key] = framing.split(framing.answer([part.data for part in self.parts], cursor))
        return shared[key]
