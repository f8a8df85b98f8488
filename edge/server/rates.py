"""Rates: how often each client may do something, as a bucket of tokens for each that it fills with time. No I/O."""

from collections.abc import Callable

MIN_SWEEP = 1024  # clients; those whose bucket is full again are forgotten when there are many


class Rate:
    """At most `burst` at once for each client, and `burst` in `seconds` over time; 0 is no limit."""

    def __init__(self, burst: int, seconds: float, clock: Callable[[], float]) -> None:
        self._burst = float(burst)
        self._per_second = burst / seconds
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}  # by client: tokens, and when they were counted
        self._sweep_at = MIN_SWEEP

    def take(self, client: str, count: int) -> bool:
        """Take `count` for a client and return True; nothing and False if that is too much.

        Who wants more than a whole bucket waits until it is full, and then longer for the next.
        """
        if not self._burst or not count:
            return True
        tokens = self._tokens(client)
        if tokens < min(count, self._burst):
            return False
        self._put(client, tokens - count)
        return True

    def is_spent(self, client: str) -> bool:
        """Say whether a client has nothing left now."""
        return bool(self._burst) and self._tokens(client) <= 0

    def spend(self, client: str, count: int) -> None:
        """Take what a client has had already, and let it owe the rest."""
        if self._burst:
            self._put(client, self._tokens(client) - count)

    def _put(self, client: str, tokens: float) -> None:
        self._buckets[client] = (tokens, self._clock())
        if len(self._buckets) >= self._sweep_at:
            self._sweep()

    def _tokens(self, client: str) -> float:
        tokens, at = self._buckets.get(client, (self._burst, 0.0))
        return min(self._burst, tokens + (self._clock() - at) * self._per_second)

    def _sweep(self) -> None:
        """Forget clients whose bucket is full; the next time is when there are twice as many as now."""
        self._buckets = {
            client: self._buckets[client] for client in self._buckets if self._tokens(client) < self._burst
        }
        self._sweep_at = max(MIN_SWEEP, 2 * len(self._buckets))
