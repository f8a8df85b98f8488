"""A publisher at a steady rate, in a process of its own: `python -m bench.pacing URL RATE SECONDS CHANNEL MODULO`.

Each message goes through the publish script to a random one of `MODULO` channels (`CHANNEL` is their common start;
with 0, it is the one channel) and carries the time of its publication. It prints how many it published, how late the
latest was, and how long that took. SIGTERM ends it early.
"""

import asyncio
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from bench.clients.publishing import MARKER
from bench.system.processes import HERE
from common.message import Message
from common.names import RedisNames
from common.redis.client import connect
from common.scripts.calls import Scripts
from common.settings import load_settings

PAYLOAD_BYTES = 104
ENOUGH_AT_ONCE = 64  # publishes under way; a slower Redis shows as lateness, not as a heap of tasks


class Paced(NamedTuple):
    """What a steady publisher did."""

    published: int
    latest_ms: float
    seconds: float


def stamped(size: int = PAYLOAD_BYTES) -> bytes:
    """Return a message that says when it was published; subscribers.c reads it."""
    return f"{MARKER}{time.monotonic_ns()}".encode().ljust(size, b"x")


class Pacer:
    """Publishes until its time is over or it is stopped."""

    def __init__(self, scripts: Scripts, rate: float, seconds: float, channel: str, modulo: int) -> None:
        self._scripts = scripts
        self._rate = rate
        self._messages = int(rate * seconds)
        self._channel = channel
        self._modulo = modulo
        self._gate = asyncio.Semaphore(ENOUGH_AT_ONCE)
        self._published = 0
        self._stopped = False

    def stop(self) -> None:
        """Publish nothing more."""
        self._stopped = True

    async def run(self) -> Paced:
        """Publish each message when it is due; return when all are acknowledged."""
        start, latest = time.monotonic(), 0.0
        async with asyncio.TaskGroup() as group:
            for number in range(self._messages):
                due = start + number / self._rate
                await asyncio.sleep(max(due - time.monotonic(), 0))
                if self._stopped:
                    break
                await self._gate.acquire()
                latest = max(latest, time.monotonic() - due)
                group.create_task(self._publish())
        return Paced(self._published, 1000 * latest, time.monotonic() - start)

    async def _publish(self) -> None:
        channel = f"{self._channel}{random.randrange(self._modulo)}" if self._modulo else self._channel
        try:
            await self._scripts.publish(channel, Message(stamped()))
        finally:
            self._gate.release()
        self._published += 1


async def pace(url: str, rate: float, seconds: float, channel: str, modulo: int) -> Paced:
    """Publish at a steady rate."""
    settings = load_settings()
    redis = connect(url)
    await asyncio.gather(*(redis.ping() for _ in range(ENOUGH_AT_ONCE)))  # opens the connections
    pacer = Pacer(Scripts(redis, RedisNames(settings.prefix), settings), rate, seconds, channel, modulo)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, pacer.stop)
    try:
        return await pacer.run()
    finally:
        await redis.aclose()


class Pacing:
    """A steady publisher at work, from the outside."""

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
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=HERE.parent) as process:
        try:
            yield Pacing(process)
        finally:
            if process.poll() is None:
                process.kill()


def main() -> None:
    """Publish as the command line says."""
    url, rate, seconds, channel, modulo = sys.argv[1:]
    print(*asyncio.run(pace(url, float(rate), float(seconds), channel, int(modulo))))


if __name__ == "__main__":
    main()
