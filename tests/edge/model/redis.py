"""A Redis of plain Python: one total order per channel, the logs, and what the Lua scripts do with them.

A test compares it with the scripts on a real one. Each edge has one subscribe connection: a queue from which a test
delivers, drops or repeats frames.
"""

import sys
from collections import deque
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from common.message import Message, encode_frame
from common.names import RedisNames
from common.position import Position
from common.scripts.results import Adopted, AdoptionState, Bare, SyncQuery, SyncResult

NAMES = RedisNames("comet:")
RECENT_JOINS, RECENT_EPOCHS = 32, 256
GENESIS_AGE = 61_000_000  # microseconds


class ModelLog:
    """What Redis keeps of one channel; nothing at first, and again after a wipe."""

    def __init__(self) -> None:
        self.top: Position | None = None
        self.entries: list[Message] = []
        self.epoch: int | None = None
        self.sealed = self.unknown = 0
        self.stored: dict[int, int] = {}  # how many bare messages of each epoch
        self.gaps: set[tuple[int, int]] = set()
        self.joined_at: dict[int, int] = {}


class ModelRedis:
    """The log of each channel, and its subscribers. Does what the Lua scripts do; a test compares the two."""

    def __init__(self, history: int = 20) -> None:
        self.logs: dict[str, ModelLog] = {}
        self.ever: dict[tuple[str, Position], int] = {}  # every message that ever was -> its predecessor's tag
        self.subscribers: dict[str, list[ModelConnection]] = {}
        self.history = history
        self.microseconds = 1_800_000_000_000_000
        self.newest_epochs: dict[str, int] = {}  # that were ever begun
        self.used_twice = False  # an epoch

    def pass_time(self, seconds: float) -> None:
        self.microseconds += round(seconds * 1e6)

    def log(self, name: str) -> ModelLog:
        """Return a channel's log, with its genesis if it is new."""
        log = self.logs.setdefault(name, ModelLog())
        if log.top is None:
            log.top, log.entries = Position(0, self._tag_after(None) - GENESIS_AGE), []
        return log

    def top(self, name: str) -> Position:
        top = self.log(name).top
        assert top is not None
        return top

    def send(self, name: str, payload: bytes) -> None:
        for connection in self.subscribers.get(name, []):
            connection.queue.append(("message", name, payload))

    def publish(self, name: str, payload: bytes) -> Position:
        """Do what publish.lua does."""
        self._tick()
        return self._append(name, payload)

    def sync(self, wanted: SyncQuery, most: int = sys.maxsize) -> SyncResult:
        """Do what sync.lua does for one channel, or with a limit read.lua."""
        self._tick()
        log = self.logs.setdefault(wanted.channel, ModelLog())
        epoch = self._join(wanted.channel, log, wanted.known) if wanted.known is not None else 0
        top = self.top(wanted.channel)
        entries = [] if wanted.offset is None else [each for each in log.entries if each.offset > wanted.offset]
        return SyncResult(top, entries[:most], epoch)

    def release(self, name: str) -> None:
        """Do what release.lua does for one channel."""
        log = self.logs.get(name)
        if log is not None and log.top is not None and not log.top.offset and not self.subscribers.get(name):
            del self.logs[name]

    def adopt(self, name: str, first_epoch: int, messages: Sequence[Bare]) -> Adopted:
        """Do what adopt.lua does."""
        self._tick()
        log = self.logs.setdefault(name, ModelLog())
        for done, (epoch, number, payload) in enumerate(messages):
            if self._must_wait(log, first_epoch):
                return Adopted(done, AdoptionState.WAIT)
            if epoch > (log.epoch or 0):
                log.epoch = log.unknown = self._unused_after(epoch)
            stored = self._stored_before(log, epoch, number)
            if stored is None or (number <= stored and (epoch, number) in log.gaps):
                return Adopted(done, AdoptionState.SKIPPED)
            if number > stored:
                self._append(name, payload)
                log.stored[epoch] = number
                if epoch > log.unknown:
                    log.gaps |= {(epoch, skipped) for skipped in range(stored + 1, number)}
            log.sealed = max(log.sealed, epoch - 1)
        return Adopted(len(messages), AdoptionState.DONE)

    def _tick(self) -> None:
        """Each script runs a little later than the one before."""
        self.microseconds += 1

    def _tag_after(self, newest: int | None) -> int:
        return max(self.microseconds, (newest or 0) + 1)

    def _append(self, name: str, payload: bytes) -> Position:
        log = self.logs.setdefault(name, ModelLog())
        tag = self._tag_after(log.top.tag if log.top else None)
        offset, prev = log.top or Position(0, tag - 1)
        if log.top is None:
            log.entries = []
        message = Message(payload, offset + 1, tag, prev)
        log.top = Position(message.offset, message.tag)
        log.entries = [*log.entries, message][-self.history :]
        self.ever[name, log.top] = message.prev
        self.send(name, encode_frame(message))
        return log.top

    def _join(self, name: str, log: ModelLog, known: int) -> int:
        joined = self.microseconds // 1000
        if log.epoch is None or log.epoch < known:
            log.epoch = log.unknown = self._unused_after(known)
            joined -= 400
            log.sealed = log.epoch - 1
        log.epoch += 1
        if log.epoch - RECENT_JOINS > log.unknown:
            forgotten = log.epoch - RECENT_EPOCHS
            log.joined_at.pop(log.epoch - RECENT_JOINS, None)
            log.stored.pop(forgotten, None)
            log.gaps = {(epoch, number) for epoch, number in log.gaps if epoch != forgotten}
        if len(self.subscribers.get(name, [])) <= 1:
            log.sealed = log.epoch - 1
        else:
            log.joined_at[log.epoch] = joined
        self.used_twice |= log.epoch <= self.newest_epochs.get(name, 0)
        self.newest_epochs[name] = max(log.epoch, self.newest_epochs.get(name, 0))
        self.send(name, b"\x01J1 %d" % log.epoch)
        return log.epoch

    def _unused_after(self, epoch: int) -> int:
        milliseconds, rest = divmod(self.microseconds, 1000)
        return milliseconds if milliseconds > epoch else epoch + 1000 + rest

    def _must_wait(self, log: ModelLog, first_epoch: int) -> bool:
        between = first_epoch - 1 - log.sealed
        joined = log.joined_at.get(first_epoch) if between > 0 else None
        return joined is not None and 0 <= self.microseconds // 1000 - joined < 400 + 100 * min(between, 10)

    def _stored_before(self, log: ModelLog, epoch: int, number: int) -> int | None:
        assert log.epoch is not None
        if epoch in log.stored:
            return log.stored[epoch]
        if epoch <= log.unknown:
            return number - 1
        return 0 if epoch > log.epoch - RECENT_EPOCHS else None

    def wipe(self) -> None:
        """Lose everything, as a restart without persistence does, or an eviction."""
        self.logs.clear()
        self.pass_time(0.1)

    def snapshot(self) -> dict[str, ModelLog]:
        return deepcopy(self.logs)

    def restore(self, snapshot: dict[str, ModelLog]) -> None:
        """Go back to an older state, as a failover to a lagging replica does."""
        self.logs = deepcopy(snapshot)


class ModelConnection:
    """An edge's subscribe connection: what Redis sent and the edge has not read yet."""

    def __init__(self, redis: ModelRedis) -> None:
        self.redis = redis
        self.queue: deque[tuple[Any, ...]] = deque()

    def subscribe(self, name: str, attempt: int) -> None:
        listeners = self.redis.subscribers.setdefault(name, [])
        if self not in listeners:
            listeners.append(self)
        self.queue.append(("ack", name, attempt))

    def unsubscribe(self, name: str) -> None:
        listeners = self.redis.subscribers.get(name, [])
        if self in listeners:
            listeners.remove(self)

    def cut(self) -> None:
        for listeners in self.redis.subscribers.values():
            if self in listeners:
                listeners.remove(self)
