"""Latency through a whole stack, load balancer included: `docker compose --profile bench run --rm bench`.

Subscribers and publisher are this one process, so one clock stamps and reads every message. It needs nothing but the
product's own dependencies, and ends with 1 if a message did not come.
"""

import argparse
import asyncio
import random
import sys
import time
from statistics import quantiles
from typing import NamedTuple

import aiohttp

LAST_MESSAGES_TIMEOUT = 10.0
MAX_ATTACHING = 100  # subscribers that may be on their way to their welcome


class Load(NamedTuple):
    """What was asked for; `rate` is in messages a second."""

    edges: str
    publisher: str
    subscribers: int
    channels: int
    rate: float
    seconds: float


class Subscribers:
    """Streams, each on one of the channels; `delays` are the seconds from publish to receipt."""

    def __init__(self, session: aiohttp.ClientSession, load: Load) -> None:
        self.delays: list[float] = []
        self.on_channel = [0] * load.channels
        self._session = session
        self._load = load
        self._attaching = asyncio.Semaphore(MAX_ATTACHING)
        self._reading: list[asyncio.Task[None]] = []

    async def attach(self) -> None:
        """Return when all are welcomed."""
        await asyncio.gather(*(self._attach(number % self._load.channels) for number in range(self._load.subscribers)))

    async def wait_for(self, messages: int) -> None:
        """Return when `messages` have come in all, or it took too long."""
        deadline = time.monotonic() + LAST_MESSAGES_TIMEOUT
        while len(self.delays) < messages and time.monotonic() < deadline:  # noqa: ASYNC110  # both are polled
            await asyncio.sleep(0.01)

    def leave(self) -> None:
        """Let go of everything."""
        for task in self._reading:
            task.cancel()

    async def _attach(self, channel: int) -> None:
        async with self._attaching:
            answer = await self._session.get(f"{self._load.edges}/stream", params={"id": f"bench-{channel}"})
            answer.raise_for_status()
            await answer.content.readline()  # the welcome
        self.on_channel[channel] += 1
        self._reading.append(asyncio.create_task(self._read(answer)))

    async def _read(self, answer: aiohttp.ClientResponse) -> None:
        async for line in answer.content:
            _, found, rest = line.partition(b'"content":"sent ')
            if found:
                self.delays.append(time.monotonic() - int(rest.partition(b'"')[0]) / 1e9)


async def publish(session: aiohttp.ClientSession, load: Load) -> list[int]:
    """Publish at the rate to random channels; return the number of messages of each."""
    counts, began = [0] * load.channels, time.monotonic()
    under_way: set[asyncio.Task[None]] = set()
    for turn in range(int(load.rate * load.seconds)):
        await asyncio.sleep(began + turn / load.rate - time.monotonic())
        channel = random.randrange(load.channels)
        counts[channel] += 1
        task = asyncio.create_task(_publish_one(session, load.publisher, channel))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
    await asyncio.gather(*under_way)
    return counts


async def _publish_one(session: aiohttp.ClientSession, publisher: str, channel: int) -> None:
    message = {"id": f"bench-{channel}", "content": f"sent {time.monotonic_ns()}"}
    async with session.post(f"{publisher}/pub", json=message) as answer:
        answer.raise_for_status()


async def measure(load: Load) -> bool:
    """Put the load on the stack and print what was seen; return whether everything came."""
    timeout, connector = aiohttp.ClientTimeout(total=None), aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector, read_bufsize=4096) as session:
        subscribers, began = Subscribers(session, load), time.monotonic()
        await subscribers.attach()
        attached, began = time.monotonic() - began, time.monotonic()
        counts = await publish(session, load)
        took = time.monotonic() - began
        wanted = sum(map(int.__mul__, counts, subscribers.on_channel))
        await subscribers.wait_for(wanted)
        subscribers.leave()
    percentiles = [1000 * delay for delay in quantiles(subscribers.delays, n=100)] if wanted > 1 else [0.0] * 99
    print(f"{load.subscribers} subscribers on {load.channels} channels attached in {attached:.1f} s")
    print(f"{sum(counts)} messages published in {took:.1f} s: {sum(counts) / took:.0f}/s")
    print(f"{len(subscribers.delays)} of {wanted} deliveries came: {wanted / took:.0f}/s")
    print(f"milliseconds from publish to receipt: p50 {percentiles[49]:.1f}, p99 {percentiles[98]:.1f}")
    return len(subscribers.delays) == wanted


def main() -> int:
    """Read the command line; return the exit code."""
    parser = argparse.ArgumentParser(description="Measure a whole stack through its load balancer.")
    parser.add_argument("--edges", default="http://127.0.0.1:8080", help="where subscribers connect")
    parser.add_argument("--publisher", default="http://127.0.0.1:8081", help="where messages are published")
    parser.add_argument("--subscribers", type=int, default=1000)
    parser.add_argument("--channels", type=int, default=100)
    parser.add_argument("--rate", type=float, default=100, help="messages a second, over all channels")
    parser.add_argument("--seconds", type=float, default=20)
    return 0 if asyncio.run(measure(Load(**vars(parser.parse_args())))) else 1


if __name__ == "__main__":
    sys.exit(main())
