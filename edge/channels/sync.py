"""The log reader: the reads of many channels go to Redis in batches, and each is answered on its own.

The tracker (tracker.py) reads to bring a channel up to its log. For subscribers, attaching (attach.py) reads where the
messages begin that they missed, and pieces.py the messages, each with a reader of its own: no read waits for another
kind.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from redis import RedisError
from redis.exceptions import NoPermissionError

from common.logs import get_logger
from common.scripts.results import SyncOutcome, SyncQuery, SyncResult, Unreadable

MAX_CHANNELS_PER_CALL = 128  # a millisecond of Redis' time if the edge joins each of them, else much less
MAX_CALLS = 4  # under way at a time; with appendfsync always Redis writes its file once for all that are
RETRY_PAUSE = 0.05  # seconds before a read that failed is repeated; for one channel it doubles with each failure
MAX_RETRY_PAUSE = 5.0
MAX_FAILURES = 10  # of one channel that are counted


class SyncRequest(NamedTuple):
    """One read of a channel's log; `is_awaited` says whether it is still wanted.

    `done` gets the result. It gets None if Redis has no room for the new channel, or the reader does not repeat it.
    """

    query: SyncQuery
    done: Callable[[SyncResult | None], None]
    is_awaited: Callable[[], bool] = lambda: True
    failures: int = 0  # reads that failed because of this channel


class LogReader:
    """Reads the logs of many channels; each request is answered unless `forget` is called first.

    While one batch is read, the next requests are collected. If they fill a batch of their own, it is read at the same
    time: Redis works on one while this process handles the results of another. A channel that cannot be read is read
    again later, and no other channel waits for it.
    """

    def __init__(
        self,
        sync: Callable[[Sequence[SyncQuery]], Awaitable[Sequence[SyncOutcome]]],
        *,
        max_channels: int = MAX_CHANNELS_PER_CALL,
        repeats: bool = True,
    ) -> None:
        self._sync = sync
        self._max_channels = max_channels
        self._repeats = repeats  # the reads of a channel that cannot be read; else the answer is None
        self._requests: deque[SyncRequest] = deque()
        self._readers: set[asyncio.Task[None]] = set()
        self._log = get_logger()
        self._is_failing = False  # the failure is logged

    def ask(self, request: SyncRequest) -> None:
        """Queue a read; the reads of one loop turn go out together."""
        self._requests.append(request)
        if len(self._readers) < min(MAX_CALLS, 1 + len(self._requests) // self._max_channels):
            self._readers.add(asyncio.create_task(self._run()))

    def forget(self) -> None:
        """Drop the reads that are not answered, because their connection is gone."""
        self._requests = deque()  # a batch that fails later returns to the old queue, and is dropped with it

    async def _run(self) -> None:
        try:
            while self._requests:
                await self._read(self._requests)
        finally:
            self._readers.remove(asyncio.current_task())  # type: ignore[arg-type]  # it runs in one

    async def _read(self, requests: deque[SyncRequest]) -> None:
        """Read a batch; if Redis fails (it is down, or loads its data), put the batch back and pause."""
        batch = _next_batch(requests, self._max_channels)
        if not batch:
            return
        try:
            outcomes = await self._read_all([request.query for request in batch])
        except (RedisError, OSError) as error:
            requests.extendleft(reversed(batch))
            self._log_failure(error)
            await asyncio.sleep(RETRY_PAUSE)
            return
        self._is_failing = False
        for request, outcome in zip(batch, outcomes, strict=True):
            self._answer(requests, request, outcome)

    async def _read_all(self, queries: Sequence[SyncQuery]) -> Sequence[SyncOutcome]:
        """Read channels in one call; if Redis denies access to one of them, in halves, until that one is found."""
        try:
            return await self._sync(queries)
        except NoPermissionError as error:
            if "key" not in str(error):
                raise  # access to the script itself is denied
            if len(queries) == 1:
                return [Unreadable(str(error))]
        middle = len(queries) // 2
        return [*await self._read_all(queries[:middle]), *await self._read_all(queries[middle:])]

    def _answer(self, requests: deque[SyncRequest], request: SyncRequest, outcome: SyncOutcome) -> None:
        """Answer one request; if that fails, it concerns this request only, and its channel is read again later."""
        try:
            if not isinstance(outcome, Unreadable):
                request.done(outcome)
            elif outcome.is_refused or not self._repeats:
                request.done(None)
            else:
                self._put_off(requests, request, outcome.reason)
        except Exception as error:
            self._put_off(requests, request, str(error), error)

    def _put_off(
        self, requests: deque[SyncRequest], request: SyncRequest, reason: str, bug: Exception | None = None
    ) -> None:
        """Repeat a request after a pause; its first failure is logged, with a traceback if it is a bug of the edge."""
        if not request.failures:
            self._log.warning(
                "a channel cannot be read; its subscribers wait",
                channel=request.query.channel,
                error=reason,
                exc_info=bug,
            )
        pause = min(RETRY_PAUSE * 2**request.failures, MAX_RETRY_PAUSE)
        again = request._replace(failures=min(request.failures + 1, MAX_FAILURES))
        asyncio.get_running_loop().call_later(pause, self._ask_again, requests, again)

    def _ask_again(self, requests: deque[SyncRequest], request: SyncRequest) -> None:
        """Queue a request that was put off, unless it was dropped meanwhile."""
        if requests is self._requests:
            self.ask(request)

    def _log_failure(self, error: Exception) -> None:
        if not self._is_failing:
            self._log.warning("the log cannot be read; subscribers wait", error=str(error))
        self._is_failing = True


def _next_batch(requests: deque[SyncRequest], most: int) -> list[SyncRequest]:
    """Remove the next requests from the queue, and return those that are still awaited, at most so many."""
    batch: list[SyncRequest] = []
    while requests and len(batch) < most:
        request = requests.popleft()
        if request.is_awaited():
            batch.append(request)
    return batch
