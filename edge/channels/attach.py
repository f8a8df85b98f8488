"""The entrance: brings a subscriber up to date with each of its channels, and seats it when all are ready.

Where a subscriber goes on from a position, the channel's ring usually proves what it missed, without any wait: that
is a poller coming back. Else the log is read, once for all who stand at the same position. What cannot be proved is
told as a reset.
"""

import time
from collections.abc import Callable
from functools import partial

from common.message import Message
from common.position import START, Position, unproven
from common.scripts.results import SyncQuery, SyncResult
from edge.channel_log import NOBODY, Channel, State
from edge.channels.sync import Gap, LogReader, SyncRequest, catch_up
from edge.counters import Counters
from edge.framing import Item
from edge.state import PendingAttach

ATTACH_TIMEOUT = 3.0  # seconds a subscriber waits for Redis before it is sent away
WELCOME = "hello world!"


class Attacher:
    """Lets subscribers into channels."""

    def __init__(self, log_reader: LogReader, counters: Counters, *, keeps_history: bool) -> None:
        self.repair: Callable[[Channel], None]  # set by the hub: bring a channel up to its log
        self._log_reader = log_reader
        self._counters = counters
        self._keeps_history = keeps_history
        self._reads: dict[tuple[str, Position], list[tuple[Channel, PendingAttach, int]]] = {}

    def enter(self, channel: Channel, pending: PendingAttach, index: int) -> None:
        """Let a subscriber into its index-th channel, as soon as that is live and it can be brought up to date."""
        if channel.state is not State.LIVE or channel.fresh:
            self._wait(channel, pending, index)
            return
        since, last = self._since(channel, pending, index), channel.last
        if since is None or since == last:
            self._join(channel, pending, index, last, [])
        elif not self._keeps_history:
            self._join(channel, pending, index, last, [] if since == START else None)
        elif (tail := channel.tail(since)) is not None:
            self._counters.replays_total["hit"] += 1
            self._join(channel, pending, index, _start(since, tail, channel), tail)
        else:
            self._read(channel, since, pending, index)

    def is_reading(self, name: str) -> bool:
        """Say whether somebody is being brought up to date with a channel from its log."""
        return any(name == reading for reading, _ in self._reads)

    def hold_readers(self) -> None:
        """Let those whose read is under way wait for the next connection: the answer may never come."""
        for readers in self._reads.values():
            for channel, pending, index in readers:
                if pending.alive:
                    self._wait(channel, pending, index)
        self._reads.clear()

    def _since(self, channel: Channel, pending: PendingAttach, index: int) -> Position | None:
        """Return the place to go on from: as sent by the client, or so many messages back; None is "from now on"."""
        since = pending.since(index)
        if since is None and channel.last is not None and (history := pending.history(index)):
            return unproven(max(channel.last.offset - history, 0))
        return since

    def _wait(self, channel: Channel, pending: PendingAttach, index: int) -> None:
        if channel.waiting is NOBODY:
            channel.waiting = {}
        channel.waiting[pending] = index

    def _read(self, channel: Channel, since: Position, pending: PendingAttach, index: int) -> None:
        """Have the log read after a position, once for all who stand there."""
        readers = self._reads.setdefault((channel.name, since), [])
        readers.append((channel, pending, index))
        if len(readers) == 1:
            wanted = SyncQuery(channel.name, since.offset)
            done, is_awaited = (
                partial(self._on_read, channel.name, since),
                partial(self._is_awaited, channel.name, since),
            )
            self._log_reader.ask(SyncRequest(wanted, done, is_awaited))

    def _is_awaited(self, name: str, since: Position) -> bool:
        """Say whether somebody still waits for a read; if not, it is forgotten."""
        if any(pending.alive for _, pending, _ in self._reads.get((name, since), ())):
            return True
        self._reads.pop((name, since), None)
        return False

    def _on_read(self, name: str, since: Position, synced: SyncResult) -> None:
        for channel, pending, index in self._reads.pop((name, since), ()):
            if not pending.alive:
                continue
            if channel.state is not State.LIVE or channel.fresh:
                self._wait(channel, pending, index)
                continue
            messages = catch_up(since, synced, channel)
            if messages is Gap.APART:
                self._wait(channel, pending, index)
                self.repair(channel)
            elif isinstance(messages, Gap):
                self._join(channel, pending, index, channel.last, None)
            else:
                self._counters.replays_total["read"] += 1
                self._join(channel, pending, index, _start(since, messages, channel), messages)

    def _join(
        self, channel: Channel, pending: PendingAttach, index: int, start: Position | None, missed: list[Message] | None
    ) -> None:
        """Let a subscriber join at `start` with the messages it missed; None stands for "cannot be told": a reset."""
        channel.add(pending.seat)
        if channel.job is not None:
            channel.job.pass_by(pending.seat)
        pending.starts[index] = start
        if missed is None:
            self._counters.replays_total["reset"] += 1
            pending.items.append(Item("reset", channel.name, seq=channel.cursor, cursor=channel.cursor))
        elif missed:
            pending.items.extend(missed_items(channel, missed))
        pending.missing -= 1
        if pending.missing == 0:
            pending.done(pending)


def data_item(name: str, message: Message) -> Item:
    """Return a message as the object its subscribers see."""
    seq = f"{message.offset}-{message.tag}" if message.offset else ""
    return Item("data", name, message.payload.decode(errors="replace"), seq, seq, message.event)


def missed_items(channel: Channel, messages: list[Message]) -> list[Item]:
    """Return what a subscriber is told of messages that it missed: those whose own time is not over."""
    now = time.time()
    return [data_item(channel.name, message) for message in messages if not message.is_expired(now)]


def _start(since: Position, messages: list[Message], channel: Channel) -> Position | None:
    """Return the position from which a subscriber goes on; where it named no message, the one before the first."""
    if since.tag:
        return since
    return Position(messages[0].offset - 1, messages[0].prev) if messages else channel.last
