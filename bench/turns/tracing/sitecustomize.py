"""Runs inside an edge, because it is found first on the PYTHONPATH: it notes the longest turn of its event loop.

SIGUSR2 has it write that, in seconds of CPU, and begin anew.
"""

import os
import signal
import time
from asyncio.base_events import BaseEventLoop
from collections.abc import Callable
from pathlib import Path

longest = [0.0]


def timed(turn: Callable[[object], None]) -> Callable[[object], None]:
    """Return a turn of the loop that notes how long it took; to wait takes no CPU."""

    def run(loop: object) -> None:
        began = time.thread_time()
        turn(loop)
        longest[0] = max(longest[0], time.thread_time() - began)

    return run


def tell(*_: object) -> None:
    """Write the longest turn since the last time."""
    result = Path(os.environ["BENCH_TURNS"])
    new = result.with_suffix(".new")
    new.write_text(str(longest[0]))
    new.rename(result)
    longest[0] = 0.0


if "BENCH_TURNS" in os.environ:
    name = "_run_once"  # asyncio has no public name for one turn
    setattr(BaseEventLoop, name, timed(getattr(BaseEventLoop, name)))
    signal.signal(signal.SIGUSR2, tell)
