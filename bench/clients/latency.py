"""The driver's side of latency.c: subscribers that note how late each message is."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from bench.clients.driver import Driver, running_program
from bench.system.processes import COMMAND_TIMEOUT
from bench.system.programs import compile_c


class Lateness(NamedTuple):
    """How late messages arrived, in milliseconds."""

    messages: int
    first: float
    median: float
    p99: float
    last: float


class Receivers(Driver):
    """Subscribers in a process of their own that note how late each message is."""

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
        """Return when `total` messages have arrived since the last reset."""
        self.ask(f"wait {total}")

    def count(self) -> int:
        """Return the number of messages that have arrived since the last reset."""
        return self.ask("count")[0]

    def report(self) -> Lateness:
        """Return how late they were."""
        count, *times = self.ask("report")
        return Lateness(count, *(microseconds / 1000 for microseconds in times))


@contextmanager
def receiving(port: int, *, idle: bool = False) -> Iterator[Receivers]:
    """Run a process of receivers while the block runs; an idle one runs only while nothing else wants the CPU."""
    with running_program(compile_c("latency"), port, COMMAND_TIMEOUT) as process:
        if idle:
            os.sched_setscheduler(process.pid, os.SCHED_IDLE, os.sched_param(0))
        yield Receivers(process)
