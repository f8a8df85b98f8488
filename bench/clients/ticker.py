"""A publisher that keeps a steady rate in a thread of its own, and notes when its messages were taken."""

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from bench.clients.publishing import Publisher, stamped


class Ticker(threading.Thread):
    """Publishes a burst of messages at a steady rate, over a connection of its own, until it is stopped.

    Each message carries the time it was due, so whatever holds the publisher up counts as lateness, too.
    """

    def __init__(
        self,
        connect: Callable[[], AbstractContextManager[Publisher]],
        channel: str,
        every: float,
        *,
        size: int,
        burst: int = 1,
    ) -> None:
        super().__init__(daemon=True)
        self.published = 0
        self.acknowledged_ms: list[float] = []  # from when a burst was due to when the server's side had taken it
        self.failure: Exception | None = None
        self._connect = connect
        self._channel = channel
        self._every_ns = int(every * 1e9)
        self._size = size
        self._burst = burst
        self._stopped = threading.Event()
        self._until_ns = time.monotonic_ns() * 2

    def run(self) -> None:
        """Publish until stopped."""
        try:
            with self._connect() as publisher:
                self._tick(publisher)
        except Exception as error:  # raised again by `stop`
            self.failure = error

    def _tick(self, publisher: Publisher) -> None:
        due = time.monotonic_ns()
        while True:
            self._stopped.wait(max(due - time.monotonic_ns(), 0) / 1e9)
            if due > self._until_ns:
                return
            publisher.publish([stamped(self._size, due)] * self._burst, self._channel)
            self.acknowledged_ms.append((time.monotonic_ns() - due) / 1e6)
            self.published += self._burst
            due += self._every_ns

    def stop(self) -> int:
        """Publish what is due by now, stop, and return the number of messages; raises what went wrong."""
        self._until_ns = time.monotonic_ns()
        self._stopped.set()
        self.join()
        if self.failure:
            raise self.failure
        return self.published
