"""Rates: how often each client may do something, as a bucket of tokens for each that it fills with time. No I/O."""

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

MIN_SWEEP = 1024  # clients; those whose bucket is full again are forgotten when there are many

Client = TypeVar("Client", bound=Hashable)


class Rate(Generic[Client]):
    """At most `burst` at once for each client, and `burst` in `seconds` over time; 0 is no limit."""

    def __init__(self, burst: int, seconds: float, clock: Callable[[], float]) -> None:
        self.burst = float(burst)
        self._per_second = burst / seconds
        self._clock = clock
        self._buckets: dict[Client, tuple[float, float]] = {}  # by client: tokens, and when they were counted
        self._sweep_at = MIN_SWEEP

    def take(self, client: Client, count: int) -> bool:
        """Take `count` for a client and return True; nothing and False if that is too much.

        Who wants more than a whole bucket waits until it is full, and then longer for the next.
        """
        if not self.burst or not count:
            return True
        tokens = self._tokens(client)
        if tokens < min(count, self.burst):
            return False
        self._put(client, tokens - count)
        return True

    def seconds_until(self, client: Client, count: int) -> float:
        """Return how long a client has to wait until it may take `count`; 0 if it may now."""
        if not self.burst:
            return 0.0
        return max(0.0, (min(count, self.burst) - self._tokens(client)) / self._per_second)

    def is_spent(self, client: Client) -> bool:
        """Say whether a client has nothing left now."""
        return bool(self.burst) and self._tokens(client) <= 0

    def spend(self, client: Client, count: int) -> float:
        """Take what a client has had already, and let it owe the rest; return what is left, below 0 if it owes."""
        if not self.burst:
            return 0.0
        left = self._tokens(client) - count
        self._put(client, left)
        return left

    def forget(self, client: Client) -> None:
        """A client is gone, and so is what it owes."""
        self._buckets.pop(client, None)

    def _put(self, client: Client, tokens: float) -> None:
        self._buckets[client] = (tokens, self._clock())
        if len(self._buckets) >= self._sweep_at:
            self._sweep()

    def _tokens(self, client: Client) -> float:
        tokens, at = self._buckets.get(client, (self.burst, 0.0))
        return min(self.burst, tokens + (self._clock() - at) * self._per_second)

    def _sweep(self) -> None:
        """Forget clients whose bucket is full; the next time is when there are twice as many as now."""
        self._buckets = {client: self._buckets[client] for client in self._buckets if self._tokens(client) < self.burst}
        self._sweep_at = max(MIN_SWEEP, 2 * len(self._buckets))
