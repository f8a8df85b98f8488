"""A publisher at a steady rate, in a process of its own: `python -m bench.pacing URL RATE SECONDS CHANNEL MODULO`.

Each message goes through the publish script to a random one of `MODULO` channels (`CHANNEL` is their common start;
with 0, it is the one channel) and carries the time of its publication. It prints how many it published, how late the
latest was, and how long that took. SIGTERM ends it early.
"""

import asyncio
import random
import signal
import sys
import time

from bench.clients.pacing import Paced
from bench.clients.publishing import publish_all, stamped
from common.message import Message
from common.names import RedisNames
from common.redis.client import connect
from common.redis.pipelines import Pipelines
from common.scripts.publishing import Outgoing, Publishing
from common.settings import load_settings

MAX_PUBLISHING = 64  # publishes under way; a slower Redis shows as lateness, not as a heap of tasks


class Pacer:
    """Publishes until its time is over or it is stopped."""

    def __init__(self, publishing: Publishing, rate: float, seconds: float, channel: str, modulo: int) -> None:
        self._publishing = publishing
        self._rate = rate
        self._messages = int(rate * seconds)
        self._channel = channel
        self._modulo = modulo
        self._gate = asyncio.Semaphore(MAX_PUBLISHING)
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
            await publish_all(self._publishing, [Outgoing(channel, Message(stamped()))])
        finally:
            self._gate.release()
        self._published += 1


async def pace(url: str, rate: float, seconds: float, channel: str, modulo: int) -> Paced:
    """Publish at a steady rate."""
    settings = load_settings()
    redis = connect(url)
    await asyncio.gather(*(redis.ping() for _ in range(MAX_PUBLISHING)))  # opens the connections
    publishing = Publishing(Pipelines(redis), RedisNames(settings.prefix), settings)
    pacer = Pacer(publishing, rate, seconds, channel, modulo)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, pacer.stop)
    try:
        return await pacer.run()
    finally:
        await redis.aclose()


def main() -> None:
    """Publish as the command line says."""
    url, rate, seconds, channel, modulo = sys.argv[1:]
    print(*asyncio.run(pace(url, float(rate), float(seconds), channel, int(modulo))))


if __name__ == "__main__":
    main()
