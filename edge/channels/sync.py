"""Reading the log: the reads of many channels go to Redis in batches, and each is answered on its own."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from redis import RedisError
from redis.exceptions import NoPermissionError

from common.logs import get_logger
from common.scripts.results import SyncOutcome, SyncQuery, SyncResult, Unreadable

BATCH = 128  # channels in one script call: a millisecond of Redis' time if each is joined, else much less
MAX_CALLS = 4  # under way; where Redis syncs its file after each round (appendfsync always), they share one sync
RETRY_PAUSE = 0.05
MAX_RETRY_PAUSE = 5.0  # seconds until a channel that cannot be read is tried again
MAX_TRIES = 10  # that are counted


class SyncRequest(NamedTuple):
    """One read of a channel's log, what gets the result, and whether anything still waits for it."""

    query: SyncQuery
    done: Callable[[SyncResult], None]
    is_awaited: Callable[[], bool] = lambda: True
    failures: int = 0  # reads that failed because of this channel


class LogReader:
    """Reads the logs of many channels at once; each request is answered unless the connection is lost first.

    While one batch is read the next requests gather. If they fill a batch of their own, it is read at the same time:
    Redis works on one while this process takes in the results of another. A channel that cannot be read is tried again
    later, and no other channel waits for it.
    """

    def __init__(self, sync: Callable[[Sequence[SyncQuery]], Awaitable[Sequence[SyncOutcome]]]) -> None:
        self._sync = sync
        self._requests: deque[SyncRequest] = deque()
        self._readers: set[asyncio.Task[None]] = set()
        self._log = get_logger()
        self._said_failing = False

    def ask(self, request: SyncRequest) -> None:
        """Queue a read; the reads of one loop turn go out together."""
        self._requests.append(request)
        if len(self._readers) < min(MAX_CALLS, 1 + len(self._requests) // BATCH):
            self._readers.add(asyncio.create_task(self._run()))

    def forget(self) -> None:
        """Drop what is not answered yet: the connection it was asked for is gone."""
        self._requests = deque()  # a batch under way that fails goes back to the old queue, and is dropped with it

    async def _run(self) -> None:
        try:
            while self._requests:
                await self._read(self._requests)
        finally:
            self._readers.remove(asyncio.current_task())  # type: ignore[arg-type]  # it runs in one

    async def _read(self, requests: deque[SyncRequest]) -> None:
        """Read a batch; when Redis fails, put it back and wait a little: Redis is away, or loads its data."""
        batch = _next_batch(requests)
        if not batch:
            return
        try:
            outcomes = await self._read_all([request.query for request in batch])
        except (RedisError, OSError) as error:
            requests.extendleft(reversed(batch))
            self._say_failing(error)
            await asyncio.sleep(RETRY_PAUSE)
            return
        self._said_failing = False
        for request, outcome in zip(batch, outcomes, strict=True):
            self._answer(requests, request, outcome)

    async def _read_all(self, queries: Sequence[SyncQuery]) -> Sequence[SyncOutcome]:
        """Read channels at once; if one of them is forbidden to this process, in halves, until that one is found."""
        try:
            return await self._sync(queries)
        except NoPermissionError as error:
            if "key" not in str(error):
                raise  # the script itself is forbidden
            if len(queries) == 1:
                return [Unreadable(str(error))]
        middle = len(queries) // 2
        return [*await self._read_all(queries[:middle]), *await self._read_all(queries[middle:])]

    def _answer(self, requests: deque[SyncRequest], request: SyncRequest, outcome: SyncOutcome) -> None:
        """Answer one request; whatever goes wrong concerns this one alone, and it is read again later."""
        if isinstance(outcome, Unreadable):
            self._put_off(requests, request, outcome.reason)
            return
        try:
            request.done(outcome)
        except Exception as error:
            self._put_off(requests, request, str(error), error)

    def _put_off(
        self, requests: deque[SyncRequest], request: SyncRequest, reason: str, bug: Exception | None = None
    ) -> None:
        """Try a request again after a pause; the first failure is told, with a traceback if it is a bug of ours."""
        if not request.failures:
            self._log.warning(
                "a channel cannot be read; its subscribers wait",
                channel=request.query.channel,
                error=reason,
                exc_info=bug,
            )
        pause = min(RETRY_PAUSE * 2**request.failures, MAX_RETRY_PAUSE)
        again = request._replace(failures=min(request.failures + 1, MAX_TRIES))
        asyncio.get_running_loop().call_later(pause, self._ask_again, requests, again)

    def _ask_again(self, requests: deque[SyncRequest], request: SyncRequest) -> None:
        """Queue a request that was put off, unless it was forgotten meanwhile."""
        if requests is self._requests:
            self.ask(request)

    def _say_failing(self, error: Exception) -> None:
        if not self._said_failing:
            self._log.warning("the log cannot be read; subscribers wait", error=str(error))
        self._said_failing = True


def _next_batch(requests: deque[SyncRequest]) -> list[SyncRequest]:
    """Take out the next requests that something waits for."""
    batch: list[SyncRequest] = []
    while requests and len(batch) < BATCH:
        request = requests.popleft()
        if request.is_awaited():
            batch.append(request)
    return batch
