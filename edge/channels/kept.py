"""What is kept for a moment after its last use: thousands come back at once, but not in one millisecond. No I/O."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from typing import Generic, Protocol, TypeVar

from common.message import Message

KEPT_SECONDS = 1.0  # after it was asked for last


class Expiring(Protocol):
    """What may be kept: it may be given to others until it `expires`, in Unix time, in seconds."""

    expires: float


K = TypeVar("K", bound=Hashable)
V = TypeVar("V", bound=Expiring)


class Kept(Generic[K, V]):
    """What was asked for in the last moment, by what it was asked for."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._kept: OrderedDict[K, tuple[V, float]] = OrderedDict()  # with the time of the last use; the last one last

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, key: K, value: V) -> V:
        """Keep something from now on, and return it."""
        self._kept[key] = value, self._clock()
        self._kept.move_to_end(key)
        return value

    def find(self, key: K, now: float) -> V | None:
        """Return what is kept, unless it has expired at `now`; it is kept anew."""
        entry = self._kept.get(key)
        return self.keep(key, entry[0]) if entry is not None and entry[0].expires > now else None

    def drop_oldest(self) -> bool:
        """Drop what nobody has asked for for longest; return whether there was anything."""
        return bool(self._kept and self._kept.popitem(last=False))

    def tick(self) -> bool:
        """Drop what nobody has asked for lately; return False, because there is nothing more to do in this turn."""
        before = self._clock() - KEPT_SECONDS
        while self._kept and next(iter(self._kept.values()))[1] <= before:
            self.drop_oldest()
        return False


def first_expiry(messages: Iterable[Message], now: float) -> float:
    """Return when the first of those messages expires that have not yet; Unix time, in seconds, or infinity."""
    return min([message.expires / 1000 for message in messages if message.expires > now * 1000], default=float("inf"))
