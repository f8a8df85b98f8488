"""A bystander: a client that polls and joins all the while, and measures how long an edge takes to answer it."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count

from tests.cluster.clients import Connection, StreamClient
from tests.cluster.processes import Service

ENOUGH = 100  # of each: whoever makes the load goes on with it until there are so many, for a slow machine takes longer
MOST_SECONDS = 30.0  # that this may take, less than one test may
NOISY = 3  # by how much a bystander may wait longer than it should: a machine with other work is slower at times
POLLS_P99, JOINS_P95 = 0.05, 0.3  # seconds


class Bystander:
    """How long the polls of one connection took, and the joins of new connections to new channels, in seconds."""

    def __init__(self) -> None:
        self.polls: list[float] = []
        self.joins: list[float] = []

    def note(self, record: Callable[[str, object], None]) -> None:
        """Record what the bars are about, in milliseconds, with the medians beside it."""
        for name, took in (("polls", self.polls), ("joins", self.joins)):
            figures = [round(1000 * percentile(took, percent), 1) for percent in (50, 95, 99)]
            record(f"{name} p50, p95 and p99, ms", figures)

    def assert_undisturbed(self) -> None:
        """Polls take 50 ms at most, but for one in a hundred, and joins 300 ms, but for one in twenty."""
        assert percentile(self.polls, 99) <= NOISY * POLLS_P99
        assert percentile(self.joins, 95) <= NOISY * JOINS_P95


@contextmanager
def watching(edge: Service) -> Iterator[Bystander]:
    """Poll on one connection and join on others, all the while."""
    bystander = Bystander()
    with polling(edge) as bystander.polls, joining(edge) as bystander.joins:
        yield bystander


@contextmanager
def polling(edge: Service, *, pause: float = 0.01, **headers: str) -> Iterator[list[float]]:
    """Poll on one connection all the while; yield how long each poll took, in seconds."""
    with Connection(edge.port) as client:

        def poll(number: int) -> None:
            client.ask("/poll", {"id": "bystander", "timeout": "0"}, **headers)
            assert client.answer().status == 200

        with _measuring(poll, pause) as took:
            yield took


@contextmanager
def joining(edge: Service) -> Iterator[list[float]]:
    """Join a new channel on a new connection all the while; yield how long each took, in seconds."""

    def join(number: int) -> None:
        with StreamClient(edge.port, f"newcomer-{number}"):
            pass

    with _measuring(join) as took:
        yield took


@contextmanager
def _measuring(ask: Callable[[int], None], pause: float = 0.01) -> Iterator[list[float]]:
    """Ask again and again in a thread; yield how long each took. A failure is raised at the end."""
    took: list[float] = []
    failures: list[BaseException] = []
    is_over = threading.Event()

    def run() -> None:
        try:
            for number in count():
                began = time.monotonic()
                ask(number)
                took.append(time.monotonic() - began)
                if is_over.wait(pause):  # a duration: a client that asks a hundred times a second, or less often
                    return
        except BaseException as error:  # whatever it is, it is the test's failure
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield took
    finally:
        is_over.set()
        thread.join()
    for failure in failures:
        raise failure


def until_enough(*all_took: Sequence[float]) -> Iterator[int]:
    """Count the rounds of a load until each of these was measured often enough; at least one, however fast it is."""
    end = time.monotonic() + MOST_SECONDS
    for number in count():
        yield number
        if all(len(took) >= ENOUGH for took in all_took):
            return
        assert time.monotonic() < end, f"only {[len(took) for took in all_took]} answers in {MOST_SECONDS:.0f} s"


def percentile(took: Sequence[float], percent: int) -> float:
    """Return the time in which so many per cent of the answers came."""
    assert len(took) >= ENOUGH, f"only {len(took)} answers: the load must go on until there are {ENOUGH}"
    return sorted(took)[len(took) * percent // 100]
