"""The checker: reads what every client saw, and knows what was published. Pure.

A client's log falls into segments. One begins with the first welcome or with a reset, and inside it each message is
the very next one of the channel (I4), none comes twice (I6), and whatever the publisher acknowledged in between is
there (I5). What is missing between two segments is covered by the reset that stands there.

A plain PUBLISH is acknowledged without a position, but the messages of a channel are published one after the other: a
client that missed one must have been told of a reset after it was published, before any later one came.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from operator import itemgetter
from typing import NamedTuple

from common.position import Position, parse_position

END = "end:"  # what the last message of every channel begins with


class Entry(NamedTuple):
    """One thing a client was told: a welcome (or a poll's cursor), a message, or a reset."""

    kind: str
    content: str = ""
    seq: str = ""
    at: float = 0.0


@dataclass
class Log:
    """All that one client of one channel was told, in order."""

    client: str
    channel: str
    entries: list[Entry] = field(default_factory=list)


@dataclass
class Segment:
    """Messages between two resets; `start` is the position before the first."""

    start: Position
    messages: list[tuple[Position, str]] = field(default_factory=list)

    @property
    def end(self) -> Position:
        """Where the client stood when the segment ended."""
        return self.messages[-1][0] if self.messages else self.start


class Plain(NamedTuple):
    """A plain PUBLISH that reached an edge: its content, and when it was sent.

    Not when its publisher was told so: by then an edge may have stored it, and told its subscribers of a reset over it.
    """

    content: str
    at: float


class Ledger:
    """What was published: every content that was tried, and position and content of all that was acknowledged.

    `plain` holds, for each channel and in order, the plain messages that must arrive.
    """

    def __init__(self) -> None:
        self.tried: set[str] = set()
        self.acked: dict[str, dict[Position, str]] = {}
        self.plain: dict[str, list[Plain]] = {}

    def acknowledge(self, channel: str, seq: str, content: str) -> None:
        """Note that the publisher was told this position."""
        self.acked.setdefault(channel, {})[parse_position(seq)] = content

    @property
    def count(self) -> int:
        """How many messages were acknowledged."""
        return sum(map(len, self.acked.values()))


class Checker:
    """Collects violations over the logs of many clients, once everything was published."""

    def __init__(self, ledger: Ledger) -> None:
        self.violations: list[str] = []
        self._ledger = ledger
        self._chain: dict[tuple[str, Position], tuple[Position, str]] = {}  # each message's predecessor and content
        self._by_tag = {
            channel: sorted((position.tag, position, content) for position, content in acked.items())
            for channel, acked in ledger.acked.items()
        }

    def check(self, logs: Iterable[Log], *, complete: bool = True) -> list[str]:
        """Return what is wrong; `complete` says that every log goes on to the end of its channel."""
        for log in logs:
            found = list(self._segments(log))
            self.violations += [
                f"{log.client} on {log.channel}: {fault}" for fault in self._faults(log, found, complete)
            ]
        return self.violations

    def _segments(self, log: Log) -> Iterator[Segment]:
        """Split a log; a jump that no reset announces shows as a hole in `_faults`."""
        segment: Segment | None = None
        for entry in log.entries:
            if segment is None or entry.kind == "reset":
                if segment is not None:
                    yield segment
                segment = Segment(parse_position(entry.seq))
            elif entry.kind == "data" and entry.seq:
                segment.messages.append((parse_position(entry.seq), entry.content))
        if segment is not None:
            yield segment

    def _faults(self, log: Log, segments: Sequence[Segment], complete: bool) -> Iterator[str]:
        yield from _jumps(log.entries)
        for segment in segments:
            yield from self._broken_links(log.channel, segment)
            yield from _doubles(segment)
        yield from self._unknown(log)
        yield from self._missing(log, segments, complete)
        yield from self._missing_plain(log)

    def _broken_links(self, channel: str, segment: Segment) -> Iterator[str]:
        """I4: offsets grow by one, and every client was led to a message from the same predecessor."""
        before = segment.start
        for position, content in segment.messages:
            if before.tag and position.offset != before.offset + 1:
                yield f"a hole or a repetition: {position} {content!r} came after {before}"
            link = self._chain.setdefault((channel, position), (before, content))
            if before.tag and link != (before, content):
                yield f"{position} {content!r} came after {before}, but for others {link[1]!r} after {link[0]}"
            before = position

    def _unknown(self, log: Log) -> Iterator[str]:
        """Contents are what was published, and what was acknowledged has the position that the publisher was told."""
        acked = self._ledger.acked.get(log.channel, {})
        for entry in log.entries:
            if entry.kind == "data" and entry.content not in self._ledger.tried:
                yield f"no writer published {entry.content[:80]!r}"
            if entry.kind == "data" and entry.seq:
                known = acked.get(parse_position(entry.seq), entry.content)
                if known != entry.content:
                    yield f"{entry.seq} was {known!r} for the publisher and is {entry.content!r} here"

    def _missing(self, log: Log, segments: Sequence[Segment], complete: bool) -> Iterator[str]:
        """I5: each acknowledged message is in a segment, before the first one, or between two."""
        if not segments:
            yield "was told nothing at all"
            return
        got = {position for segment in segments for position, _ in segment.messages}
        acked = self._by_tag.get(log.channel, [])
        first = bisect_right(acked, segments[0].start.tag, key=itemgetter(0))
        last = len(acked) if complete else bisect_right(acked, segments[-1].end.tag, key=itemgetter(0))
        for tag, position, content in acked[first:last]:
            if position not in got and not content.startswith(END) and not _is_covered(tag, segments):
                yield f"acknowledged and never seen: {position} {content!r}"

    def _missing_plain(self, log: Log) -> Iterator[str]:
        """I5: each plain message since the client came is there, or under a reset."""
        plain = self._ledger.plain.get(log.channel, [])
        order = {message.content: index for index, message in enumerate(plain)}
        told = {entry.content for entry in log.entries if entry.kind == "data"}
        since = log.entries[0].at if log.entries else 0.0
        for message in plain:
            if message.at > since and message.content not in told and not _has_reset_for(message, log.entries, order):
                yield f"published plainly at {message.at:.3f} and never seen: {message.content!r}"


def _has_reset_for(missed: Plain, entries: Sequence[Entry], order: Mapping[str, int]) -> bool:
    """Say whether a reset was told after a plain message was published, and before any later one came."""
    for entry in entries:
        if entry.kind == "reset" and entry.at > missed.at:
            return True
        if entry.kind == "data" and order.get(entry.content, -1) > order[missed.content]:
            return False
    return False


def _is_covered(tag: int, segments: Sequence[Segment]) -> bool:
    """Say whether a message that a client did not get lies under a reset.

    Tags grow with time, over wipes and rollbacks, too.
    """
    for before, after in pairwise(segments):
        first = after.messages[0][0].tag if after.messages else after.start.tag + 1
        if before.end.tag < tag < first:
            return True
    return False


def _jumps(entries: Sequence[Entry]) -> Iterator[str]:
    """A later welcome, or a poll's cursor, is where the client stands, or a reset follows at once."""
    stands = entries[0].seq if entries else ""
    for entry, after in zip(entries, [*entries[1:], Entry("")], strict=True):
        if entry.kind == "welcome" and entry.seq != stands and after.kind != "reset":
            yield f"a silent jump from {stands} to {entry.seq}"
        stands = entry.seq or stands


def _doubles(segment: Segment) -> Iterator[str]:
    """I6: between two resets no content comes twice (every content is published once)."""
    seen: set[str] = set()
    for position, content in segment.messages:
        if content in seen and not content.startswith(END):
            yield f"{position} {content!r} came twice"
        seen.add(content)
