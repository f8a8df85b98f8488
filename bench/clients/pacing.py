"""A publisher at a steady rate, in a process of its own (`python -m bench.pacing`), from the outside."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from bench.system.paths import CHECKOUT


class Paced(NamedTuple):
    """What a steady publisher did."""

    published: int
    latest_ms: float
    seconds: float


class Pacing:
    """A steady publisher at work."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def stop(self) -> Paced:
        """End it and return what it did."""
        self._process.terminate()
        return self.wait()

    def wait(self) -> Paced:
        """Return what it did when its time is over."""
        output, _ = self._process.communicate()
        if self._process.returncode:
            raise RuntimeError(f"the publisher ended with {self._process.returncode}")
        published, latest, seconds = output.split()
        return Paced(int(published), float(latest), float(seconds))


@contextmanager
def running_pacing(url: str, rate: float, seconds: float, channel: str, modulo: int = 0) -> Iterator[Pacing]:
    """Publish at a steady rate while the block runs, or until the time is over."""
    command = [sys.executable, "-m", "bench.pacing", url, str(rate), str(seconds), channel, str(modulo)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT) as process:
        try:
            yield Pacing(process)
        finally:
            if process.poll() is None:
                process.kill()
