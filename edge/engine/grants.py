"""Grants: what the tokens of subscribers let them hear, while they are held, and when each of these ends.

A token that has expired must end its connection within a few seconds, and thousands may expire in the same one. So the
seats are kept by the second in which their tokens end, and who asks gets a few of those that are due at a time.
"""

from collections.abc import Iterable

from common.errors import BadRequestError
from edge.parked import NEVER
from edge.protocol.http import Request
from edge.state import Seat
from edge.tokens.grant import Grant
from edge.tokens.guard import Guard

NO_TOKENS = "op: no channel needs a token here, for COMET_TOKEN_KEY is not set; give one of sub, unsub, ping"


class Grants:
    """The grants of held seats; without a `guard` no channel needs a token, and there are none."""

    def __init__(self, guard: Guard | None = None) -> None:
        self.guard = guard
        self._by_seat: dict[Seat, Grant] = {}
        self._ending: dict[int, set[Seat]] = {}  # by the second (since 1970) in which their tokens expire
        self._first: float = NEVER  # no token expires in a second before this one

    def __len__(self) -> int:
        return len(self._by_seat)

    def of(self, seat: Seat) -> Grant | None:
        """Return the grant of a seat, if it has one."""
        return self._by_seat.get(seat)

    def hold(self, seat: Seat, grant: Grant | None) -> None:
        """Keep the grant of a seat in place of the one that it had, until the seat leaves."""
        if self._by_seat:
            self.leave(seat)
        if grant is None:
            return
        self._by_seat[seat] = grant
        if grant.expires < NEVER:
            second = int(grant.expires)
            bucket = self._ending.get(second)
            if bucket is None:
                self._ending[second] = {seat}
                self._first = min(self._first, second)
            else:
                bucket.add(seat)

    def leave(self, seat: Seat) -> None:
        """A seat is not held any more."""
        grant = self._by_seat.pop(seat, None)
        if grant is None or grant.expires == NEVER:
            return
        second = int(grant.expires)
        bucket = self._ending.get(second)
        if bucket is not None:
            bucket.discard(seat)
            if not bucket:
                del self._ending[second]

    def take_expired(self, most: int) -> list[Seat]:
        """Return some seats whose tokens have expired, each of them once."""
        if self.guard is None or not self._ending:
            return []
        this_second = int(self.guard.now())
        seats: list[Seat] = []
        while self._first < this_second and len(seats) < most:
            bucket = self._ending.get(int(self._first))
            if bucket:
                seats.append(bucket.pop())
            else:
                self._ending.pop(int(self._first), None)
                self._first = min(self._ending, default=NEVER)
        return seats

    # What the guard says. Each of these raises `TokenError`, or `UnavailableError`, if it does not allow it.

    def admit(self, seat: Seat, request: Request, transport: str, channels: Iterable[str]) -> None:
        """Let a subscriber have its first channels, and keep its grant."""
        if self.guard is not None:
            self.hold(seat, self.guard.admit(request, transport, channels))

    def check(self, seat: Seat, channel: str) -> None:
        """Let a held subscriber have one more channel."""
        if self.guard is not None:
            self.guard.check(channel, self._by_seat.get(seat))

    def renew(self, seat: Seat, token: str, channels: Iterable[str]) -> None:
        """Keep a fresh token's grant for a subscriber that has these channels; if it is refused, the old one stays."""
        if self.guard is None:
            raise BadRequestError(NO_TOKENS)
        self.hold(seat, self.guard.renew(token, channels, self._by_seat.get(seat)))
