"""Reading the log: which messages bring a position up to date, and the batches in which Redis is asked."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from enum import Enum
from typing import NamedTuple

from redis import RedisError, ResponseError
from redis.exceptions import NoPermissionError

from common.logs import get_logger
from common.message import Message
from common.position import Position
from common.scripts.calls import SyncOutcome, SyncQuery, SyncResult
from edge.channel_log import Channel, proven

BATCH = 128  # channels in one script call: a millisecond of Redis' time if each is joined, else much less
AT_ONCE = 4  # calls under way; where Redis syncs its file after each round (appendfsync always), they share one sync
RETRY_PAUSE = 0.05
LONGEST_PAUSE = 5.0  # seconds until a channel that cannot be read is tried again


class Gap(Enum):
    """Why a position cannot be brought up to date."""

    UNPROVEN = "the log does not lead from there to here"
    APART = "the channel does not stand where the log does; it must be brought up to its log before anybody joins"


def catch_up(since: Position, synced: SyncResult, channel: Channel) -> list[Message] | Gap:
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


class SyncRequest(NamedTuple):
    """One read of a channel's log, who gets the answer, and whether somebody still waits for it."""

    wanted: SyncQuery
    done: Callable[[SyncResult], None]
    is_awaited: Callable[[], bool] = lambda: True
    tries: int = 0  # that were in vain, because of this channel


class LogReader:
    """Asks Redis for many channels at once; each wish is answered unless the connection is lost first.

    While one batch is read the next wishes gather. If they are a batch of their own, it is read at the same time: so
    Redis works on one while we take in the answers of another. A channel that cannot be read is tried again later, and
    keeps no other waiting.
    """

    def __init__(self, sync: Callable[[Sequence[SyncQuery]], Awaitable[Sequence[SyncOutcome]]]) -> None:
        self._sync = sync
        self._wishes: deque[SyncRequest] = deque()
        self._readers: set[asyncio.Task[None]] = set()
        self._log = get_logger()
        self._said_failing = False

    def ask(self, wish: SyncRequest) -> None:
        """Queue a read; the reads of one loop turn go out together."""
        self._wishes.append(wish)
        if len(self._readers) < min(AT_ONCE, 1 + len(self._wishes) // BATCH):
            self._readers.add(asyncio.create_task(self._run()))

    def forget(self) -> None:
        """Drop what was not answered yet: the connection it was asked for is gone."""
        self._wishes = deque()  # a batch under way that fails is put back where it came from, and dropped with it

    async def _run(self) -> None:
        try:
            while self._wishes:
                await self._read(self._wishes)
        finally:
            self._readers.remove(asyncio.current_task())  # type: ignore[arg-type]  # it runs in one

    async def _read(self, wishes: deque[SyncRequest]) -> None:
        """Read a batch; when Redis fails, put it back and wait a little: Redis is away, or loads its data."""
        batch = _next_batch(wishes)
        if not batch:
            return
        try:
            readings = await self._read_all([wish.wanted for wish in batch])
        except (RedisError, OSError) as error:
            wishes.extendleft(reversed(batch))
            self._say_failing(error)
            await asyncio.sleep(RETRY_PAUSE)
            return
        self._said_failing = False
        for wish, reading in zip(batch, readings, strict=True):
            self._answer(wishes, wish, reading)

    async def _read_all(self, wanted: Sequence[SyncQuery]) -> Sequence[SyncOutcome]:
        """Read channels at once; where we may not touch one of them, in halves, until that one is found."""
        try:
            return await self._sync(wanted)
        except NoPermissionError as error:
            if "key" not in str(error):
                raise  # we may not do this at all
            if len(wanted) == 1:
                return [error]
        middle = len(wanted) // 2
        return [*await self._read_all(wanted[:middle]), *await self._read_all(wanted[middle:])]

    def _answer(self, wishes: deque[SyncRequest], wish: SyncRequest, reading: SyncOutcome) -> None:
        """Answer one wish; whatever goes wrong is that wish's own trouble, and it comes again."""
        try:
            if isinstance(reading, ResponseError):
                raise reading
            wish.done(reading)
        except Exception as error:
            if not wish.tries:
                broken = None if error is reading else error  # an error of ours: where it was raised helps
                self._log.warning(
                    "a channel cannot be read; its subscribers wait",
                    channel=wish.wanted.channel,
                    error=str(error),
                    exc_info=broken,
                )
            pause = min(RETRY_PAUSE * 2**wish.tries, LONGEST_PAUSE)
            again = wish._replace(tries=min(wish.tries + 1, 10))
            asyncio.get_running_loop().call_later(pause, self._ask_again, wishes, again)

    def _ask_again(self, wishes: deque[SyncRequest], wish: SyncRequest) -> None:
        """Queue a wish that was put off, unless it was forgotten meanwhile."""
        if wishes is self._wishes:
            self.ask(wish)

    def _say_failing(self, error: Exception) -> None:
        if not self._said_failing:
            self._log.warning("the log cannot be read; subscribers wait", error=str(error))
        self._said_failing = True


def _next_batch(wishes: deque[SyncRequest]) -> list[SyncRequest]:
    """Take out the next wishes that somebody waits for."""
    batch: list[SyncRequest] = []
    while wishes and len(batch) < BATCH:
        wish = wishes.popleft()
        if wish.is_awaited():
            batch.append(wish)
    return batch
