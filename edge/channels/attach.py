"""Attaching: a subscriber enters each of its channels, with the messages that it missed there.

If it goes on from a position, the channel's ring usually proves what it missed; for a poller it nearly always does. If
not, the log is asked for the first message after it, once for all subscribers at the same position. That proves the
position, or the subscriber gets a reset. Then it is behind: it is given what it missed in pieces, before it enters the
channel (edge/subscribers/replays.py).
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from common.message import Message
from common.position import FOREIGN, FORGOTTEN, START, Position, unproven
from common.scripts.results import SyncQuery, SyncResult
from edge.chain import EMPTY, Gap, begin_after
from edge.channels.repeats import Repeats
from edge.channels.sync import SyncRequest
from edge.counters import Counters
from edge.framing.base import SHORT_DATA
from edge.framing.items import FOREIGN_ID, FORGOTTEN_NAMES, reset_item, unexpired_items
from edge.state import Channel, Entry

ENTRIES_PER_TURN = 64  # subscribers that enter a channel in one turn of the event loop
#: What a reset says to a client whose position never was one of its channels.
WHY_RESET: dict[Position | None, str] = {FOREIGN: FOREIGN_ID, FORGOTTEN: FORGOTTEN_NAMES}
#: In place of the position of a subscriber that must be reset once its channel is open.
LOST = Position(-1, 1)


class Reader(Protocol):
    """The part of `LogReader` that attaching and tracking use."""

    def ask(self, request: SyncRequest) -> None:
        """Queue a read."""

    def forget(self) -> None:
        """Drop the reads that are not answered."""


class Attacher:
    """Lets subscribers enter channels; `starts` reads first entries of logs; `repair` compares a channel with its."""

    def __init__(
        self,
        starts: Reader,
        repeats: Repeats,
        repair: Callable[[Channel], None],
        counters: Counters,
        call_soon: Callable[..., object],
        *,
        keeps_history: bool,
    ) -> None:
        self._starts = starts
        self._repeats = repeats
        self._repair = repair
        self._counters = counters
        self._call_soon = call_soon
        self._keeps_history = keeps_history
        self._reads: dict[tuple[str, Position], list[Entry]] = {}

    def enter(self, entry: Entry) -> None:
        """Let a subscriber enter a channel as soon as that is open, unless it is to be given more than a piece before.

        If the ring cannot tell, the log is asked where the messages begin that it missed.
        """
        channel = entry.channel
        if not channel.is_open:
            channel.let_wait(entry)
            return
        since, last = entry.since, channel.last
        if since is None and entry.history and last is not None:
            since = unproven(max(last.offset - entry.history, 0))
        if since is None or since == last:
            self._put_in(entry, last, EMPTY)
        elif not self._keeps_history:
            self._put_in(entry, last, EMPTY if since == START else None)
        elif (tail := channel.tail(since)) is not None:
            if channel.ring_bytes <= entry.pending.room:
                entry.pending.room -= channel.ring_bytes
                self._counters.replays_total["hit"] += 1
                self._put_in(entry, _first_position(since, tail, channel), tail)
            else:
                self._give_tail(entry, since, tail)
        else:
            self._ask_log(entry, since)

    def settle(self, entry: Entry, gap: Gap) -> None:
        """Do what remains if neither log nor ring tell what follows a subscriber's position."""
        channel = entry.channel
        if gap is Gap.BEHIND:
            channel.let_wait(entry)
            self._repair(channel)
        elif channel.is_open:
            self._put_in(entry, channel.last, None)
        else:
            entry.since = entry.since if entry.since in WHY_RESET else LOST
            channel.let_wait(entry)

    def is_reading(self, name: str) -> bool:
        """Say whether the log of a channel is being read for a subscriber."""
        return any(name == reading for reading, _ in self._reads)

    def requeue_readers(self) -> None:
        """Let the subscribers that wait for a read wait for the next connection: the result may never come."""
        for entries in self._reads.values():
            for entry in entries:
                if entry.pending.is_alive:
                    entry.channel.let_wait(entry)
        self._reads.clear()

    def _give_tail(self, entry: Entry, since: Position, tail: Sequence[Message]) -> None:
        """The ring proves what a subscriber missed: let it enter with that, unless that is too much now."""
        start = _first_position(since, tail, entry.channel)
        if not entry.pending.catches_up:
            self._counters.replays_total["hit"] += 1
        if start is None or entry.pending.takes(entry.channel, tail):
            self._put_in(entry, start, tail)
        else:
            entry.pending.fall_behind(entry, start)

    def _ask_log(self, entry: Entry, since: Position) -> None:
        """The ring does not reach back to a position: have the log tell what it has after it, unless that is lost."""
        if since is LOST:
            self._put_in(entry, entry.channel.last, None)
        elif entry.pending.catches_up:
            entry.pending.fall_behind(entry, since)
        else:
            self._find_start(entry, since)

    def _find_start(self, entry: Entry, since: Position) -> None:
        """Have the log tell where the messages begin after a position, once for all who go on from there."""
        key = (entry.channel.name, since)
        entries = self._reads.setdefault(key, [])
        entries.append(entry)
        if len(entries) == 1:
            query = SyncQuery(entry.channel.name, since.offset)
            self._starts.ask(SyncRequest(query, partial(self._on_read, key), partial(self._is_awaited, key)))

    def _is_awaited(self, key: tuple[str, Position]) -> bool:
        """Say whether a subscriber still waits for a read; if none does, forget it."""
        if any(entry.pending.is_alive for entry in self._reads.get(key, ())):
            return True
        self._reads.pop(key, None)
        return False

    def _on_read(self, key: tuple[str, Position], result: SyncResult | None) -> None:
        """Bring up those who wait for a read, a few in each turn of the event loop."""
        waiting = self._reads.get(key, [])
        entries = waiting[:ENTRIES_PER_TURN]
        del waiting[:ENTRIES_PER_TURN]
        if waiting:
            self._call_soon(self._on_read, key, result)
        else:
            self._reads.pop(key, None)
        for entry in entries:
            if not entry.pending.is_alive:
                continue
            if result is not None and entry.channel.is_open:
                self._begin(entry, begin_after(key[1], result))
            else:
                entry.channel.let_wait(entry)

    def _begin(self, entry: Entry, start: Position | Gap) -> None:
        """Let a subscriber go on from its position, which the log has proved."""
        last = entry.channel.last
        if isinstance(start, Gap):
            self.settle(entry, start)
            return
        if last is None or start.offset > last.offset:
            self.settle(entry, Gap.BEHIND)
            return
        self._counters.replays_total["read"] += 1
        if start == last:
            self._put_in(entry, last, EMPTY)
        else:
            entry.pending.fall_behind(entry, start)

    def _put_in(self, entry: Entry, at: Position | None, missed: Sequence[Message] | None) -> None:
        """Put a subscriber into a channel at a position, with the messages that it missed; None stands for a reset."""
        channel, pending = entry.channel, entry.pending
        channel.add(pending.seat)
        job = channel.job
        if job is not None and job.owes(pending.seat):
            job.done_for.add(pending.seat)  # it began before the subscriber entered
        entry.at = at
        if missed is None:
            self._counters.replays_total["reset"] += 1
            sentence = None if pending.items else WHY_RESET.get(entry.since)  # the first reset says it for all
            pending.items.append(reset_item(channel.name, channel.cursor, sentence))
        elif missed:
            if channel.ring_bytes < SHORT_DATA:  # it is the end of the ring (K2)
                pending.items += unexpired_items(channel.name, missed, time.time())
            else:
                self._give(entry, missed)
        pending.entered(entry)

    def _give(self, entry: Entry, missed: Sequence[Message]) -> None:
        """Give a subscriber what may be long, as others get it."""
        channel, pending, now = entry.channel, entry.pending, time.time()
        bundle = self._repeats.get(channel, missed, now)
        if bundle is None:
            pending.items += unexpired_items(channel.name, missed, now)
            return
        pending.items += bundle.items
        if len(pending.entries) == 1:
            pending.bundle = bundle


def _first_position(since: Position, missed: Sequence[Message], channel: Channel) -> Position | None:
    """Return the position from which a subscriber goes on: `since`, or the one before the first missed message."""
    if since.tag:
        return since
    return Position(missed[0].offset - 1, missed[0].prev) if missed else channel.last
