"""Lists of names that long cursors refer to (common/position.py): in Redis, so that any edge takes such a cursor back.

N1  A list is stored before a client gets a cursor that refers to it, and is renewed while this edge uses it. After that
    it lasts for `lifetime`, unless its subscriber or this edge has too many (name_pot.py).
N2  Its key is made of its content. So equal lists are one key, to write it again does no harm, and a value that is not
    ours is noticed.
N3  What Redis keeps because of this edge is at most `max_bytes`: more gets 429. A list has a mark of its edge among its
    names, which is no subscriber's channel. So no other edge's cursors refer to it, and this one may end it: one that
    takes such a cursor back stores the names as its own.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

from redis import RedisError
from redis.exceptions import OutOfMemoryError

from common.errors import BadRequestError, UnavailableError
from common.logs import get_logger
from common.names import RedisNames
from common.position import MAX_NAMES_BYTES, NamedPositions, NameList
from common.redis.answers import is_unreachable
from common.tasks import Worker, run_in_turns
from edge.cluster.name_pot import NamePot
from edge.state import Seat

LIST_OVERHEAD = 256  # bytes that a key needs, roughly
LISTS_PER_CALL = 64  # at most 4 MiB
FOUND_LISTS = 64  # of other edges, for all who come back with one of them
SEATS_PER_STEP = 500
PATIENCE = 2.5  # seconds; a subscriber waits for no longer than ATTACH_TIMEOUT
RETRY_PAUSE = 5.0  # seconds
UNREACHABLE = "Redis, which keeps the names of so many channels, does not answer; try again"
NOT_KEPT = "Redis does not keep the names of so many channels now; try again later"
NO_MEMORY = "Redis has no memory left for the names of so many channels; try again later"

Command = tuple[str | bytes | int, ...]

#: Sends commands to Redis in one go, and returns the answer of each: an exception if it was refused.
Ask = Callable[[Sequence[Command]], Awaitable[Sequence[object]]]


class NameLists:
    """Stores and finds lists of names, and renews those that `seats` use; `lifetime` is in seconds."""

    def __init__(
        self,
        edge_id: str,
        ask: Ask,
        names: RedisNames,
        seats: Iterable[Seat],
        clock: Callable[[], float],
        *,
        lifetime: float,
        max_bytes: int,
    ) -> None:
        self._mark = f"~{edge_id}"
        self._ask = ask
        self._names = names
        self._seats = seats
        self._clock = clock
        self._lifetime = lifetime
        self._ttl = int(1.5 * lifetime)  # renewed every half of a lifetime
        self.pot = NamePot(clock, self._let_go, ttl=self._ttl, max_bytes=max_bytes)
        self._known: dict[str, NameList] = {}  # by digest: those that Redis keeps for half a lifetime at least
        self._found: OrderedDict[str, NameList] = OrderedDict()  # others', the one that was last found comes last
        self._queue: deque[tuple[Command, asyncio.Future[object]]] = deque()
        self._worker = Worker(self._work)
        self._is_failing = False

    async def store(self, channels: Sequence[str], seat: Seat) -> NameList:
        """Have Redis keep a list for a subscriber; raises `RequestError`: 429 for too many, 503 if it is not taken."""
        names = NameList((*channels, self._mark))
        known = self._known.get(names.digest)
        if known is not None:
            self.pot.claim(seat, names.digest)
            return known
        self.pot.admit(names.digest, _size(names))
        self.pot.claim(seat, names.digest)
        try:
            await self._send(self._set(names))
        except UnavailableError:
            self.pot.forget(names.digest)
            raise
        return self._known.setdefault(names.digest, names)  # one object for all who use it

    async def find(self, digest: str) -> NameList | None:
        """Return the list of a digest, or None if it is not kept any more; raises `UnavailableError`."""
        names = self._known.get(digest) or self._found.get(digest)
        if names is None:
            names = _read(await self._send(("GETEX", self._names.name_list(digest))), digest)
        if names is not None and digest not in self._known:
            self._found[digest] = names
            self._found.move_to_end(digest)
            if len(self._found) > FOUND_LISTS:
                self._found.popitem(last=False)
        return names

    async def adopt(self, found: NameList, channels: Sequence[str], seat: Seat) -> NameList:
        """Return a list of this edge's own for a subscriber that came with one; raises `RequestError` as `store`."""
        if found.digest not in self._known:
            return await self.store(channels, seat)
        self.pot.claim(seat, found.digest)
        return found

    async def run(self) -> None:
        """Renew what is in use, again and again, until cancelled."""
        while True:
            await asyncio.sleep(RETRY_PAUSE if self._is_failing else self._lifetime / 2)
            await self.renew()

    async def renew(self) -> None:
        """Let Redis keep for longer what is in use here, and write again what it has lost."""
        held: dict[str, NameList] = {}
        if len(self.pot):
            await run_in_turns(self._find_held(held), self._clock)
        self._known, lists = held, list(held.values())
        try:
            for start in range(0, len(lists), LISTS_PER_CALL):
                await self._renew(lists[start : start + LISTS_PER_CALL])
        except (RedisError, OSError) as error:
            self._log_failure(error)
        else:
            self._is_failing = False

    async def finish(self, seconds: float = 0.0) -> None:
        """End what is under way, after at most `seconds`."""
        await self._worker.finish(seconds)

    def _find_held(self, found: dict[str, NameList]) -> Iterator[None]:
        """Find the lists that held seats use, some seats in each step."""
        for index, seat in enumerate(list(self._seats)):
            if isinstance(seat.positions, NamedPositions) and seat.positions.names is not None:
                found[seat.positions.names.digest] = seat.positions.names
            if index % SEATS_PER_STEP == 0:
                yield

    async def _renew(self, some: Sequence[NameList]) -> None:
        keys = [self._names.name_list(names.digest) for names in some]
        answers = await self._ask([("EXPIRE", key, self._ttl) for key in keys])
        lost = [
            names
            for names, answer in zip(some, answers, strict=True)
            if answer is not True and names.digest in self._known
        ]
        answers = await self._ask([self._set(names) for names in lost]) if lost else ()
        for names in some:
            if names.digest in self._known:  # else it was let go meanwhile
                self.pot.keep(names.digest, _size(names))
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer

    def _set(self, names: NameList) -> Command:
        return ("SET", self._names.name_list(names.digest), names.text, "EX", self._ttl)

    def _let_go(self, digest: str) -> None:
        """End a list at once; if Redis does not answer, it ends by itself."""
        self._known.pop(digest, None)
        self._found.pop(digest, None)
        self._queue_up(("EXPIRE", self._names.name_list(digest), 0)).add_done_callback(_ignore)

    # Redis is asked by one task, for many subscribers at a time.

    async def _send(self, command: Command) -> object:
        """Return the answer to a command; raises `UnavailableError`."""
        future = self._queue_up(command)
        try:
            async with asyncio.timeout(PATIENCE):
                return await future
        except TimeoutError:
            raise UnavailableError(UNREACHABLE) from None

    def _queue_up(self, command: Command) -> asyncio.Future[object]:
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self._queue.append((command, future))
        self._worker.wake()
        return future

    async def _work(self) -> None:
        while self._queue:
            batch = [self._queue.popleft() for _ in range(min(len(self._queue), LISTS_PER_CALL))]
            batch = [asked for asked in batch if not asked[1].done()]  # the others waited too long
            if batch:
                await self._send_all(batch)

    async def _send_all(self, batch: Sequence[tuple[Command, asyncio.Future[object]]]) -> None:
        answers: Sequence[object]
        try:
            answers = await self._ask([command for command, _ in batch])
        except Exception as error:  # whatever it is, those who wait are answered
            answers = [error] * len(batch)
        for (_, future), answer in zip(batch, answers, strict=True):
            if future.done():
                continue
            if isinstance(answer, Exception):
                self._log_failure(answer)
                future.set_exception(UnavailableError(_why_not(answer)))
            else:
                future.set_result(answer)

    def _log_failure(self, error: Exception) -> None:
        if not self._is_failing:
            get_logger().warning("redis does not keep the names of long cursors", error=str(error))
        self._is_failing = True


def _why_not(error: Exception) -> str:
    """Return what a client is told whose names Redis neither took nor gave."""
    if isinstance(error, OutOfMemoryError):
        return NO_MEMORY
    return UNREACHABLE if is_unreachable(error) else NOT_KEPT


def _read(text: object, digest: str) -> NameList | None:
    """Return the list that Redis keeps under a digest, or None if it keeps none, or something else (N2)."""
    if not isinstance(text, bytes) or len(text) > MAX_NAMES_BYTES:
        return None
    try:
        names = NameList.read(text)
    except (ValueError, BadRequestError):
        return None
    return names if names.digest == digest else None


def _ignore(asked: asyncio.Future[object]) -> None:
    """Take note of what came of a command, so that asyncio does not report its failure: that is logged already."""
    if not asked.cancelled():
        asked.exception()


def _size(names: NameList) -> int:
    return len(names.text) + LIST_OVERHEAD
