"""How many lists of names one edge keeps in Redis, and for whom (name_lists.py). Pure.

G1  All together have `max_bytes`. If one more needs room, those that nobody refers to go first, the oldest of them
    first; only if all are in use is it refused.
G2  A subscriber refers to the last LISTS_OF_ONE that were stored for it, and to the one that its cursor has now. An
    older one goes at once, unless others refer to it: who changes channels again and again spends what is its own.
G3  A list to which nobody refers any more stays for its time, for its subscriber may come back.
"""

from collections import OrderedDict
from collections.abc import Callable
from itertools import islice

from common.errors import LimitError
from common.position import NamedPositions
from edge.state import Seat

LISTS_OF_ONE = 4
PURGED_AT_ONCE = 16  # lists; more than one for each that is added
TOO_MANY = "this edge keeps too many lists of channels whose names are long; try again, or with fewer channels"


class NamePot:
    """Lists by their digests, each kept for `ttl` seconds; `let_go` is called with each that is to end before that."""

    def __init__(
        self, clock: Callable[[], float], let_go: Callable[[str], None], *, ttl: float, max_bytes: int
    ) -> None:
        self.owners: dict[Seat, list[str]] = {}  # to which lists each subscriber refers, the newest last
        self._clock = clock
        self._let_go = let_go
        self._ttl = ttl
        self._max_bytes = max_bytes
        self._kept: OrderedDict[str, tuple[float, int]] = OrderedDict()  # until when, the soonest first; and the size
        self._bytes = 0
        self._uses: dict[str, int] = {}  # by how many subscribers
        self._left: OrderedDict[str, None] = OrderedDict()  # to which nobody refers, the oldest first

    def __len__(self) -> int:
        return len(self._kept)

    def admit(self, digest: str, size: int) -> None:
        """Keep a list that is to be stored; raises `LimitError` if there is no room for it (G1)."""
        if digest not in self._kept:
            self._make_room(size)
        self.keep(digest, size)

    def keep(self, digest: str, size: int) -> None:
        """Keep a list for the whole time again."""
        self.forget(digest)
        self._bytes += size
        self._kept[digest] = (self._clock() + self._ttl, size)
        if digest not in self._uses:
            self._left[digest] = None

    def forget(self, digest: str) -> None:
        """Redis does not keep a list, after all."""
        self._bytes -= self._kept.pop(digest, (0, 0))[1]
        self._left.pop(digest, None)

    def claim(self, seat: Seat, digest: str) -> None:
        """A subscriber refers to a list from now on, and to the oldest of its others no longer (G2)."""
        if seat.fd < 0:
            return
        own = self.owners.setdefault(seat, [])
        if digest in own:
            own.remove(digest)
        else:
            self._uses[digest] = self._uses.get(digest, 0) + 1
            self._left.pop(digest, None)
        own.append(digest)
        if len(own) > LISTS_OF_ONE:
            oldest = own.pop(1 if own[0] == _current(seat) else 0)
            if self._unuse(oldest):
                self._end(oldest)

    def leave(self, seat: Seat) -> None:
        """A subscriber has ended (G3)."""
        for digest in self.owners.pop(seat, ()):
            if self._unuse(digest) and digest in self._kept:
                self._left[digest] = None

    def _unuse(self, digest: str) -> bool:
        """One subscriber less refers to a list; return whether that was the last one."""
        self._uses[digest] -= 1
        if self._uses[digest]:
            return False
        del self._uses[digest]
        return True

    def _make_room(self, size: int) -> None:
        now = self._clock()
        for digest, (until, _) in [*islice(self._kept.items(), PURGED_AT_ONCE)]:
            if until <= now:
                self.forget(digest)
        while self._bytes + size > self._max_bytes:
            if not self._left:
                raise LimitError(TOO_MANY, "names_bytes")
            self._end(next(iter(self._left)))

    def _end(self, digest: str) -> None:
        if digest in self._kept:
            self.forget(digest)
            self._let_go(digest)


def _current(seat: Seat) -> str:
    """Return the list that a subscriber's cursor refers to now."""
    positions = seat.positions
    names = positions.names if isinstance(positions, NamedPositions) else None
    return names.digest if names is not None else ""
