"""A bystander: a client that polls all the while, and measures how long an edge takes to answer it."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count

from tests.cluster.clients import Connection
from tests.cluster.processes import Service

ENOUGH = 100  # polls: whoever makes the load goes on with it until there are so many, for a slow machine takes longer
MOST_SECONDS = 30.0  # that this may take, less than one test may
NOISY = 3  # by how much a bystander may wait longer than it should: a machine with other work is slower at times


@contextmanager
def polling(edge: Service, *, pause: float = 0.01, **headers: str) -> Iterator[list[float]]:
    """Poll on one connection all the while; yield how long each poll took, in seconds."""
    took: list[float] = []
    is_over = threading.Event()

    def poll() -> None:
        with Connection(edge.port) as bystander:
            while not is_over.is_set():
                began = time.monotonic()
                bystander.ask("/poll", {"id": "bystander", "timeout": "0"}, **headers)
                assert bystander.answer().status == 200
                took.append(time.monotonic() - began)
                time.sleep(pause)  # a duration: a client that polls a hundred times a second, or less often

    thread = threading.Thread(target=poll)
    thread.start()
    try:
        yield took
    finally:
        is_over.set()
        thread.join()


def until_enough(*all_took: Sequence[float]) -> Iterator[int]:
    """Count the rounds of a load until each of these was measured often enough; at least one, however fast it is."""
    end = time.monotonic() + MOST_SECONDS
    for number in count():
        yield number
        if all(len(took) >= ENOUGH for took in all_took):
            return
        assert time.monotonic() < end, f"only {[len(took) for took in all_took]} polls in {MOST_SECONDS:.0f} s"


def percentile(took: Sequence[float], percent: int) -> float:
    """Return the time in which so many per cent of the polls were answered."""
    assert len(took) >= ENOUGH, f"only {len(took)} polls: the load must go on until there are {ENOUGH}"
    return sorted(took)[len(took) * percent // 100]
