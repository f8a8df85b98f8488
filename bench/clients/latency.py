"""The driver's side of latency.c, and a publisher that keeps its times: how late do messages arrive?"""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from bench.clients.load import Commanded, commanding
from bench.clients.publishing import MARKER, Publisher
from bench.servers.peers import Server
from bench.system.processes import COMMAND_SECONDS, compile_c

DIGITS = 19  # as latency.c reads them


class Lateness(NamedTuple):
    """How late messages arrived, in milliseconds."""

    messages: int
    first: float
    median: float
    p99: float
    last: float


class Receivers(Commanded):
    """Subscribers that note how late each message is."""

    def open(self, count: int, *channels: str) -> None:
        """Open streams, each on all these channels, and return when each has the head of its answer."""
        self.ask(f"open {count} /sse?{'&'.join(f'id={channel}' for channel in channels)}")

    def open_stuck(self, count: int, channel: str) -> None:
        """Open streams that never read."""
        self.ask(f"stuck {count} /sse?id={channel}")

    def reset(self) -> None:
        """Forget what has arrived so far."""
        self.ask("reset")

    def wait(self, total: int) -> None:
        """Return when so many messages have arrived since the last reset."""
        self.ask(f"wait {total}")

    def count(self) -> int:
        """Return how many have arrived since the last reset."""
        return self.ask("count")[0]

    def report(self) -> Lateness:
        """Return how late they were."""
        count, *times = self.ask("report")
        return Lateness(count, *(microseconds / 1000 for microseconds in times))


@contextmanager
def receiving(server: Server, *, humble: bool = False) -> Iterator[Receivers]:
    """Run a process of receivers while the block runs; a humble one runs only where nobody else wants to."""
    with commanding([compile_c("latency"), str(server.port), str(COMMAND_SECONDS)]) as process:
        if humble:
            os.sched_setscheduler(process.pid, os.SCHED_IDLE, os.sched_param(0))
        yield Receivers(process)


def stamped(size: int, due_ns: int) -> bytes:
    """Return a message that says when it was due."""
    return f"{MARKER}{due_ns:0{DIGITS}}-".encode().ljust(size, b"x")


class Ticker(threading.Thread):
    """Publishes a burst of messages at a steady rate, over a connection of its own, until it is stopped.

    Each message carries the time it was due, so whatever holds the publisher up counts as lateness, too.
    """

    def __init__(self, server: Server, channel: str, every: float, *, size: int, burst: int = 1) -> None:
        super().__init__(daemon=True)
        self.published = 0
        self.acknowledged_ms: list[float] = []  # from when a burst was due to when the server's side had taken it
        self.failure: Exception | None = None
        self._server = server
        self._channel = channel
        self._every_ns = int(every * 1e9)
        self._size = size
        self._burst = burst
        self._stopped = threading.Event()
        self._until_ns = time.monotonic_ns() * 2

    def run(self) -> None:
        """Publish until stopped."""
        try:
            with self._server.connect() as publisher:
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
