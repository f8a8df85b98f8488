"""Receipts: an edge's answer to a publisher that wants to know how many subscribers a message reached."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from redis import RedisError

from common.channels import Names
from edge.counters import Counters

Publish = Callable[[Sequence[tuple[bytes, bytes]]], Awaitable[object]]


class Receipts:
    """Collects the receipts of a turn and sends them together."""

    def __init__(self, names: Names, publish: Publish, counters: Counters) -> None:
        self._names = names
        self._publish = publish
        self._counters = counters
        self._due: list[tuple[bytes, bytes]] = []
        self._task: asyncio.Task[None] | None = None

    def add(self, inbox: str, subscribers: int) -> None:
        """Answer a message that carried `inbox` (`owner.number`): so many subscribers are connected here."""
        owner, _, number = inbox.partition(".")
        if not (owner.isalnum() and number.isdigit()):
            return
        self._due.append((self._names.inbox(owner), f"{number} {subscribers}".encode()))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._send())

    async def _send(self) -> None:
        while self._due:
            due, self._due = self._due, []
            try:
                await self._publish(due)
            except (RedisError, OSError):
                self._counters.dropped_total["receipt"] += len(due)  # the publisher waits no longer than 250 ms
            else:
                self._counters.receipts_total += len(due)
