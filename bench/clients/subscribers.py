"""The driver's side of subscribers.c: processes of SSE subscribers that check what they get."""

import subprocess
import time
from array import array
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from bench.clients.driver import Driver, running_program
from bench.system.paths import BUILD
from bench.system.programs import compile_c

MAX_CONNECTIONS = 19_700  # of one process: it may open 20,000 files here, and an edge keeps 192 for itself
COMMAND_TIMEOUT = 300
WINDOW = 64
QUIET_SECONDS = 2.0  # in which a message must arrive if any is still to come


class State(NamedTuple):
    """What subscribers have seen since their process was started."""

    held: int = 0
    messages: int = 0
    lost: int = 0
    duplicates: int = 0
    resets: int = 0
    refused: int = 0
    broken: int = 0


class Subscribers(Driver):
    """The subscribers of one process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        super().__init__(process)
        self._file = BUILD / f"subscribers-{process.pid}.out"

    def wait(self) -> State:
        """Return when the last command is done."""
        return State(*self.receive())

    def do(self, line: str) -> State:
        """Give a command and return when it is done."""
        self.send(line)
        return self.wait()

    def open(self, count: int, port: int, path: str, *, first: int = 0, modulo: int = 1) -> None:
        """Begin to open streams, to be waited for; `#` at the end of the path becomes `(first + i) % modulo`."""
        self.send(f"open {count} {port} {WINDOW} {first} {modulo} {path}")

    def times(self, kind: str) -> list[float]:
        """Return the milliseconds of all `latencies` or `welcomes` since the last call, sorted."""
        self.do(f"{kind} {self._file}")
        values = array("I", self._file.read_bytes())
        self._file.unlink()
        return sorted(value / 1000 for value in values)

    def positions(self) -> list[tuple[int, int]]:
        """Return for each stream the number in its path and the offset of its position."""
        self.do(f"positions {self._file}")
        lines = self._file.read_text().splitlines()
        self._file.unlink()
        return [(int(number), int(offset)) for number, offset in map(str.split, lines)]


def wait_for_all(clients: Iterable[Subscribers]) -> State:
    """Wait until all processes have done their last command; return the sums of their states."""
    return State(*map(sum, zip(*(one.wait() for one in clients), strict=True)))


def command_all(clients: Iterable[Subscribers], line: str) -> State:
    """Give all processes the same command at once and wait for all of them."""
    commanded = list(clients)
    for one in commanded:
        one.send(line)
    return wait_for_all(commanded)


def wait_for_messages(clients: Iterable[Subscribers], total: int) -> int:
    """Wait until `total` messages have come to all processes together, or no more come; return their number."""
    waiting, before = list(clients), -1
    while (now := command_all(waiting, "state").messages) < total and now != before:
        before = now
        time.sleep(QUIET_SECONDS)
    return now


def all_times(clients: Iterable[Subscribers], kind: str) -> list[float]:
    """Return the times of all processes, sorted."""
    return sorted(time for one in clients for time in one.times(kind))


def shares(connections: int, edges: int) -> list[int]:
    """Return the number of connections of each edge; their sum is `connections`."""
    return [(connections + number) // edges for number in range(edges)]


def come_and_go(
    clients: Iterable[Subscribers], ports: Iterable[int], counts: Iterable[int], path: str = "/sse?id=guests"
) -> None:
    """Open this many streams to each port, and close them at once."""
    for one, port, count in zip(clients, ports, counts, strict=False):
        one.open(count, port, path)
        one.wait()
        one.do("forget")


@contextmanager
def running_subscribers(count: int, seconds: int = COMMAND_TIMEOUT) -> Iterator[list[Subscribers]]:
    """Run `count` processes while the block runs; they end with it, however it ends."""
    program = compile_c("subscribers")
    with ExitStack() as stack:
        processes = [stack.enter_context(running_program(program, number, seconds)) for number in range(1, count + 1)]
        clients = [Subscribers(process) for process in processes]
        command_all(clients, "state")
        yield clients
