"""A bystander: a client that polls all the while, and measures how long an edge takes to answer it."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tests.cluster.clients import Connection
from tests.cluster.processes import Service

NOISY = 3  # by how much a bystander may wait longer than it should: a machine with other work is slower at times


@contextmanager
def polling(edge: Service) -> Iterator[list[float]]:
    """Poll on one connection all the while; yield how long each poll took, in seconds."""
    took: list[float] = []
    is_over = threading.Event()

    def poll() -> None:
        with Connection(edge.port) as bystander:
            while not is_over.is_set():
                began = time.monotonic()
                bystander.ask("/poll", {"id": "bystander", "timeout": "0"})
                assert bystander.answer().status == 200
                took.append(time.monotonic() - began)
                time.sleep(0.01)  # a duration: a client that polls a hundred times a second

    thread = threading.Thread(target=poll)
    thread.start()
    try:
        yield took
    finally:
        is_over.set()
        thread.join()


def percentile(took: Sequence[float], percent: int) -> float:
    """Return the time in which so many per cent of the polls were answered."""
    assert len(took) > 20, "the bystander did not poll: the test proves nothing"
    return sorted(took)[len(took) * percent // 100]
