"""The arguments and results of the scripts as records, and the reading of their answers. Pure."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from common.message import Message, expiry, is_number
from common.position import Position

MAX_COUNT_DIGITS = 10
NO_ROOM = "NOROOM "  # the beginning of an error of sync.lua


class Published(NamedTuple):
    """The result of a publish: its position (None if live only), and the number of edges that Redis delivered it to.

    With `again` its key was used before: nothing was sent, and this is the result of the first publish. `subscribers`
    is the number that got its message, if that is known.
    """

    position: Position | None
    edges: int
    again: bool = False
    subscribers: int | None = None


class SyncQuery(NamedTuple):
    """One channel to sync: the offset to read after, or None to read only its newest position.

    With `known` the edge joins the channel (adoption); it is the newest epoch that the edge has seen of it, or 0.
    """

    channel: str
    offset: int | None = None
    known: int | None = None


class SyncResult(NamedTuple):
    """A channel's newest position, its stored messages after the offset of the query, and the epoch joined."""

    top: Position
    messages: list[Message]
    epoch: int = 0


class Unreadable(NamedTuple):
    """Why a channel cannot be read: a key of it holds foreign data, or this process may not read it.

    With `is_refused` it is a new one that Redis has no memory for.
    """

    reason: str
    is_refused: bool = False


#: The result of one channel, or why there is none.
SyncOutcome = SyncResult | Unreadable


class Bare(NamedTuple):
    """A bare message that an edge hands in: the `number`-th of its epoch."""

    epoch: int
    number: int
    payload: bytes


class AdoptionState(StrEnum):
    """What holds for the first message that is not done, in the words of adopt.lua."""

    DONE = "done"  # all are done
    WAIT = "wait"  # an older edge goes first; try again
    SKIPPED = "skipped"  # it may be stored already, or was left out on purpose: the edge sends it live


class Adopted(NamedTuple):
    """The number of messages handed in that are done, and the state of the next one."""

    done: int
    state: AdoptionState


class LogEntry(NamedTuple):
    """One entry of a channel's stream; a `payload` or `prev` of None is not as the scripts write it."""

    position: Position
    payload: bytes | None
    prev: int | None
    event: str
    expires: int


def read_count(text: bytes) -> int:
    """Read a number of edges or subscribers; raises ValueError if it cannot be one."""
    if not (is_number(text) and len(text) <= MAX_COUNT_DIGITS):
        raise ValueError("a count is a number of at most 10 digits")
    return int(text)


def parse_seq(seq: bytes) -> Position:
    """Read a position as the scripts write it, which is also the id of a stream entry."""
    offset, tag = seq.split(b"-")
    return Position(int(offset), int(tag))


def parse_sync_answer(answer: list[Any] | Exception) -> SyncOutcome:
    """Read the answer of the sync script for one channel: its result, or its error."""
    if isinstance(answer, Exception):
        return Unreadable(str(answer), str(answer).startswith(NO_ROOM))
    offset, tag, entries, epoch = answer
    if not isinstance(epoch, int):
        raise TypeError("its epoch is no number")
    if not (is_number(offset) and is_number(tag)):
        return Unreadable(f"its top position is broken: offset {offset!r}, tag {tag!r}")
    return SyncResult(Position(int(offset), int(tag)), [stored_message(*entry) for entry in entries], epoch)


def parse_entry(entry_id: bytes, fields: Mapping[bytes, bytes]) -> LogEntry:
    """Read one stream entry; any program may have written it, so every field may be missing."""
    prev = fields.get(b"p", b"")
    return LogEntry(
        position=parse_seq(entry_id),
        payload=fields.get(b"d"),
        prev=int(prev) if is_number(prev) else None,
        event=fields.get(b"e", b"").decode(errors="replace"),
        expires=expiry(fields.get(b"x", b"")),
    )


def stored_message(entry_id: bytes, fields: Sequence[bytes]) -> Message:
    """Return the message of one stream entry, whose fields are names and values in turn; never raises.

    An entry that the scripts did not write names no predecessor: its tag -1 breaks every chain that it is in, and a
    subscriber that would need it is reset.
    """
    (offset, tag), payload, prev, event, expires = parse_entry(
        entry_id, dict(zip(fields[::2], fields[1::2], strict=False))
    )
    if payload is None or prev is None:
        return Message(b"", offset, -1, -1)
    return Message(payload, offset, tag, prev, event, expires=expires)
