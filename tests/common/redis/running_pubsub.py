"""A `PubSub` that runs in a task, and what its consumer was told."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from redis.asyncio import Redis
from structlog.typing import EventDict

from common.names import RedisNames
from common.redis.client import Endpoint
from common.redis.outage import DOWN, UNUSABLE
from common.redis.pubsub import PubSub
from common.tasks import cancel_all

DEADLINE = 15.0  # generous: a loaded machine must not make a test red
PAUSE = 0.01

Event = tuple[Any, ...]
Publish = Callable[[bytes, bytes], Awaitable[Any]]


class RecordingConsumer:
    """A consumer that writes down what a `PubSub` tells it, but for the ends of reads, which it counts."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.reads = 0
        self.unread = 0

    def on_message(self, name: bytes, payload: bytes) -> None:
        """Write down a message."""
        self.events.append(("message", name, payload))
        self.unread += 1

    def on_read_end(self) -> None:
        """Count a read; everything before it was handed over."""
        self.reads += 1
        self.unread = 0

    def on_subscribed(self, name: bytes, attempt: int) -> None:
        """Write down an acknowledgement."""
        self.events.append(("subscribed", name, attempt))

    def on_unsubscribed(self, name: bytes) -> None:
        """Write down that a channel was given up."""
        self.events.append(("unsubscribed", name))

    def on_up(self) -> None:
        """Write down a connection."""
        self.events.append(("up",))

    def on_down(self) -> None:
        """Write down its loss."""
        self.events.append(("down",))


class RunningPubSub:
    """A `PubSub` that runs in a task, its consumer, and the client of its publish path."""

    def __init__(self, where: Endpoint, client: Redis, prefix: str, publish: Publish | None = None) -> None:
        self.consumer = RecordingConsumer()
        self.client = client
        self.names = RedisNames(prefix)
        self.pubsub = PubSub(where, self.names.probe("me"), publish or client.publish)
        self._task = asyncio.create_task(self.pubsub.run(self.consumer))

    @property
    def events(self) -> list[Event]:
        """What the consumer heard."""
        return self.consumer.events

    async def heard(self, *events: Event) -> None:
        """Wait until the consumer has heard exactly this, in this order."""
        expected = list(events)
        await until(lambda: self.events[: len(expected)] == expected, lambda: f"{self.events} is not {expected}")
        assert self.events == expected

    async def up(self) -> None:
        """Wait for the first connection and forget that it was heard."""
        await self.heard(("up",))
        self.events.clear()

    @property
    def running(self) -> bool:
        """Whether the `PubSub` still tries."""
        return not self._task.done()

    async def stop(self) -> None:
        """Cancel the `PubSub`."""
        await cancel_all(self._task)
        await self.client.aclose()


Start = Callable[..., RunningPubSub]


async def until(look: Callable[[], object], told: Callable[[], object] = lambda: "it did not happen") -> None:
    """Wait until `look` gives something true; fail when it did not in time."""
    end = time.monotonic() + DEADLINE
    while not look():
        assert time.monotonic() < end, told()
        await asyncio.sleep(PAUSE)


async def assert_messages_flow(runner: RunningPubSub) -> None:
    """Subscribe again and see a message arrive."""
    runner.events.clear()
    room = runner.names.channel("room")
    runner.pubsub.subscribe(room, 9)
    await runner.heard(("subscribed", room, 9))
    await runner.client.publish(room, "hi")
    await runner.heard(("subscribed", room, 9), ("message", room, b"hi"))


async def publish_nowhere(*words: bytes) -> int:
    """Accept a message and deliver it to no subscriber, in place of a client's `publish`."""
    return 0


def downs(log_lines: list[EventDict]) -> list[str]:
    """Return the reasons that were logged for Redis being down, or of no use."""
    return [line["error"] for line in log_lines if line["event"] in {DOWN, UNUSABLE}]
