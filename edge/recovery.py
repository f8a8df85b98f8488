"""Reading the log: which messages bring a position up to date, and the batches in which Redis is asked."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from enum import Enum
from typing import NamedTuple

from redis import RedisError

from common.logs import get_logger
from common.message import Message
from common.position import Position
from common.scripts import Synced, Wanted
from edge.channel import Channel, proven

BATCH = 128  # channels in one script call: well under a millisecond of Redis' time
RETRY_PAUSE = 0.2


class Gap(Enum):
    """Why a position cannot be brought up to date."""

    UNPROVEN = "the log does not lead from there to here"
    APART = "the channel does not stand where the log does; it must be brought up to its log before anybody joins"


def catch_up(since: Position, synced: Synced, channel: Channel) -> list[Message] | Gap:
    """Return the messages from `since` up to where a live channel stands, from the log and the channel's ring.

    The log may have been read before or after messages that the channel took from pub/sub: what it has more is
    left to pub/sub, what it has less is taken from the ring.
    """
    if not proven(since, synced.top, synced.messages):
        return Gap.UNPROVEN
    messages, last = synced.messages, channel.last
    if synced.top == last:
        return messages
    if last is not None and since.offset > last.offset:
        return Gap.APART
    if last is not None and synced.top.offset > last.offset:
        messages = [message for message in messages if message.offset <= last.offset]
        reached = messages[-1].position if messages else since
        return messages if reached == last or (reached and not reached.tag) else Gap.UNPROVEN
    tail = channel.tail(synced.top)
    return Gap.APART if tail is None else messages + tail


class Wish(NamedTuple):
    """One read of a channel's log, and who gets the answer."""

    wanted: Wanted
    done: Callable[[Synced], None]


class Synchronizer:
    """Asks Redis for many channels at once; each wish is answered unless the connection is lost first."""

    def __init__(self, sync: Callable[[Sequence[Wanted]], Awaitable[list[Synced]]]) -> None:
        self._sync = sync
        self._wishes: list[Wish] = []
        self._in_flight: list[Wish] = []  # put back if the read fails
        self._task: asyncio.Task[None] | None = None
        self._log = get_logger()
        self._said_failing = False

    def ask(self, wish: Wish) -> None:
        """Queue a read; the reads of one loop turn go out together."""
        self._wishes.append(wish)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())

    def forget(self) -> None:
        """Drop what was not answered yet: the connection it was asked for is gone."""
        self._wishes.clear()
        self._in_flight.clear()

    async def _run(self) -> None:
        while self._wishes:
            batch = self._wishes[:BATCH]
            del self._wishes[:BATCH]
            answers = await self._read(batch)
            for wish, synced in zip(batch, answers, strict=False):
                wish.done(synced)

    async def _read(self, batch: list[Wish]) -> list[Synced]:
        """Read a batch; when Redis fails, put it back, unless it was forgotten meanwhile, and wait a little."""
        self._in_flight = list(batch)
        try:
            answers = await self._sync([wish.wanted for wish in batch])
        except (RedisError, OSError) as error:
            if not self._said_failing:
                self._log.warning("the log cannot be read; subscribers wait", error=str(error))
            self._said_failing = True
            self._wishes[:0] = self._in_flight
            await asyncio.sleep(RETRY_PAUSE)
            return []
        self._said_failing = False
        return answers
