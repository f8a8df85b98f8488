"""The driver's side of subscribers.c: crowds of subscribers who check what they get, commanded alone or together."""

import subprocess
import time
from array import array
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from bench.servers.edges import Fleet
from bench.system.processes import BUILD, compile_c

LIMIT = 19_700  # connections of one process: it may open 20,000 files here, and an edge keeps 192 for itself
SECONDS = 300
WINDOW = 64
PATIENCE = 2.0  # seconds in which something must arrive if anything is still to come


class State(NamedTuple):
    """What a crowd has seen since its start."""

    held: int = 0
    messages: int = 0
    lost: int = 0
    duplicates: int = 0
    resets: int = 0
    refused: int = 0
    broken: int = 0


class Crowd:
    """Commands one crowd; every answer raises `RuntimeError` if the command failed or took too long."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.pid = process.pid
        self._process = process
        self._file = BUILD / f"crowd-{process.pid}.out"

    def say(self, line: str) -> None:
        """Give a command and return at once."""
        if self._process.stdin is None:
            raise RuntimeError("the crowd was started without pipes")
        print(line, file=self._process.stdin, flush=True)

    def hear(self) -> State:
        """Return when the command is done."""
        if self._process.stdout is None:
            raise RuntimeError("the crowd was started without pipes")
        answer = self._process.stdout.readline().split()
        if answer[:1] != ["ok"]:
            raise RuntimeError(f"crowd: {' '.join(answer) or 'it has ended'}")
        return State(*map(int, answer[1:]))

    def do(self, line: str) -> State:
        """Give a command and wait until it is done."""
        self.say(line)
        return self.hear()

    def open(self, count: int, port: int, path: str, *, first: int = 0, modulo: int = 1) -> None:
        """Begin to open streams; `#` at the end of the path becomes `(first + i) % modulo`. To be heard."""
        self.say(f"open {count} {port} {WINDOW} {first} {modulo} {path}")

    def times(self, kind: str) -> list[float]:
        """Return the milliseconds of all `latencies` or `welcomes` since the last look, sorted."""
        self.do(f"{kind} {self._file}")
        values = array("I", self._file.read_bytes())
        self._file.unlink()
        return sorted(value / 1000 for value in values)

    def positions(self) -> list[tuple[int, int]]:
        """Return for each stream the number in its path and the offset it stands at."""
        self.do(f"positions {self._file}")
        lines = self._file.read_text().splitlines()
        self._file.unlink()
        return [(int(number), int(offset)) for number, offset in map(str.split, lines)]


def hear_all(crowds: Iterable[Crowd]) -> State:
    """Wait until all crowds have done what they were told, and return the sums."""
    return State(*map(sum, zip(*(crowd.hear() for crowd in crowds), strict=True)))


def tell_all(crowds: Iterable[Crowd], line: str) -> State:
    """Give all crowds the same command at once and wait for all of them."""
    listening = list(crowds)
    for crowd in listening:
        crowd.say(line)
    return hear_all(listening)


def wait_for_messages(crowds: Iterable[Crowd], total: int) -> int:
    """Wait until all crowds together have had so many messages, or nothing comes any more; return how many."""
    listening, before = list(crowds), -1
    while (now := tell_all(listening, "state").messages) < total and now != before:
        before = now
        time.sleep(PATIENCE)
    return now


def all_times(crowds: Iterable[Crowd], kind: str) -> list[float]:
    """Return the times of all crowds, sorted."""
    return sorted(time for crowd in crowds for time in crowd.times(kind))


def shares(connections: int, edges: int) -> list[int]:
    """Return how many connections each edge gets; together they are exactly as many as there shall be."""
    return [(connections + number) // edges for number in range(edges)]


def come_and_go(fleet: Fleet, crowds: Iterable[Crowd], counts: Iterable[int], path: str = "/sse?id=guests") -> None:
    """Let so many come to each edge and leave at once."""
    for crowd, edge, count in zip(crowds, fleet.edges, counts, strict=False):
        crowd.open(count, edge.port, path)
        crowd.hear()
        crowd.do("forget")


@contextmanager
def running_crowds(count: int, seconds: int = SECONDS) -> Iterator[list[Crowd]]:
    """Run so many crowds while the block runs; they end with it, however it ends."""
    program = compile_c("subscribers")
    with ExitStack() as stack:
        yield [stack.enter_context(_running_crowd(program, number, seconds)) for number in range(1, count + 1)]


@contextmanager
def _running_crowd(program: Path, number: int, seconds: int) -> Iterator[Crowd]:
    command = [str(program), str(number), str(seconds)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            crowd = Crowd(process)
            crowd.do("state")
            yield crowd
        finally:
            process.kill()
