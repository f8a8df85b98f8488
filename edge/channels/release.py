"""Release: what Redis keeps of channels that this edge has given up is let go of, many in one call of a script."""

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from redis import RedisError

from common.tasks import Worker

MAX_CHANNELS_PER_CALL = 500  # half a millisecond of Redis' time
#: Channels; what any more have in Redis expires by itself, as it does when Redis cannot be reached.
MAX_WAITING = 100_000


class Releaser:
    """Collects the channels that were given up while the last call is under way."""

    def __init__(self, release: Callable[[Sequence[str]], Awaitable[None]]) -> None:
        self._release = release
        self._names: deque[str] = deque(maxlen=MAX_WAITING)
        self._worker = Worker(self._run)

    def add(self, name: str) -> None:
        """Let go of a channel that this edge is not subscribed to any more."""
        self._names.append(name)
        self._worker.wake()

    async def finish(self) -> None:
        """End what is under way."""
        await self._worker.finish()

    async def _run(self) -> None:
        names = self._names
        while names:
            batch = [names.popleft() for _ in range(min(len(names), MAX_CHANNELS_PER_CALL))]
            with suppress(RedisError, OSError):  # the subscribe connection tells of it
                await self._release(batch)
