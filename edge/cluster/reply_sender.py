"""Answers: what an edge sends to the inboxes of those who asked: receipts for messages, replies to requests."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from redis import RedisError

from common.errors import FrameError
from common.names import RedisNames
from common.rpc.messages import read_address
from edge.counters import Counters

MOST_DUE = 10_000  # answers that wait for Redis; nobody waits for them as long as more would take

Publish = Callable[[Sequence[tuple[bytes, bytes]]], Awaitable[object]]


class ReplySender:
    """Collects the answers of a turn and sends them together."""

    def __init__(self, names: RedisNames, publish: Publish, counters: Counters) -> None:
        self._names = names
        self._publish = publish
        self._counters = counters
        self._due: list[tuple[bytes, bytes]] = []
        self._task: asyncio.Task[None] | None = None

    def add_receipt(self, inbox: str, subscribers: int) -> None:
        """Answer a message that carried `inbox` (`owner.number`): so many subscribers are connected here."""
        self.add(inbox, b"%d" % subscribers)

    def add(self, inbox: str, answer: bytes) -> None:
        """Send an answer to an inbox; what is no inbox gets none."""
        try:
            address = read_address(inbox)
        except FrameError:
            return
        if len(self._due) >= MOST_DUE:
            self._counters.dropped_total["receipt"] += 1
            return
        self._due.append((self._names.inbox(address.owner), b"%d %b" % (address.number, answer)))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._send())

    async def _send(self) -> None:
        while self._due:
            due, self._due = self._due, []
            try:
                await self._publish(due)
            except (RedisError, OSError):
                self._counters.dropped_total["receipt"] += len(due)  # who asked waits no longer than 250 ms
            else:
                self._counters.receipts_total += len(due)
