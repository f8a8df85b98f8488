"""A log that knows what truly followed each of its positions."""

from common.message import Message
from common.position import Position


class TrueLog:
    """A channel's true log through appends, trims and wipes; tags never repeat, offsets do after a wipe."""

    def __init__(self) -> None:
        self.tag = 100
        self.top = Position(0, 100)
        self.kept: list[Message] = []
        self.after: dict[Position, list[Message]] = {self.top: []}  # what truly followed each position of this log
        self.gone: list[Position] = []

    def append(self) -> Message:
        """Store the next message."""
        self.tag += 1
        message = Message(b"%d" % self.tag, self.top.offset + 1, self.tag, self.top.tag)
        self.top = Position(message.offset, message.tag)
        self.kept.append(message)
        for following in self.after.values():
            following.append(message)
        self.after[self.top] = []
        return message

    def trim(self, count: int) -> None:
        """Forget the oldest messages."""
        del self.kept[:count]

    def wipe(self) -> None:
        """Lose everything and begin again."""
        self.gone += self.after
        self.tag += 1
        self.top = Position(0, self.tag)
        self.kept, self.after = [], {self.top: []}

    def positions(self) -> list[Position]:
        """Return positions of every kind: real ones, ones of a log that was wiped, and forged ones."""
        real = [*self.after, *self.gone]
        return [*real, *(Position(p.offset + 1, p.tag) for p in real), *(Position(p.offset, p.tag + 1) for p in real)]
