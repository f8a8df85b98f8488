"""What a poll is answered with that was behind on its channels: pieces of their logs, as bytes. Pure.

Each piece is encoded once for all polls of one framing that get it, and their answers share its bytes.
"""

from common.position import Position, Positions
from edge.framing.base import Framing

MAX_ANSWER_BYTES = 8_388_608  # of messages in one answer; the last one may go beyond it


class Encoded:
    """Some messages of a channel, encoded for one framing; their `lease` keeps them among the bytes under way."""

    __slots__ = ("count", "data", "lease")

    def __init__(self, data: bytes, count: int, lease: object = None) -> None:
        self.data = data
        self.count = count
        self.lease = lease


class Batch:
    """The messages of one poll."""

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
