"""Handing plain messages in: what an edge that ends still does for them."""

import asyncio
import time
from collections.abc import Sequence

from common.scripts.results import Adopted, AdoptionState, Bare
from edge.channels.adoption import Adopter
from edge.counters import Counters
from edge.state import Channel
from tests.edge.real import until


class Log:
    """A log that takes messages when it is let."""

    def __init__(self) -> None:
        self.stored: list[bytes] = []
        self.open = asyncio.Event()

    async def adopt(self, name: str, first_epoch: int, messages: Sequence[Bare]) -> Adopted:
        """Store all messages."""
        await self.open.wait()
        self.stored += [bare.payload for bare in messages]
        return Adopted(len(messages), AdoptionState.DONE)


def hand_in_two(log: Log) -> Adopter:
    """Return an adopter with two messages on their way."""
    adopter = Adopter(log.adopt, lambda name, payloads: None, Counters(), time.monotonic)
    channel = Channel("room")
    for number, payload in enumerate((b"one", b"two"), 1):
        adopter.hand_in(channel, Bare(1, number, payload))
    return adopter


async def test_what_an_edge_still_holds_when_it_ends_is_stored() -> None:
    """The end waits for the messages on their way into the log."""
    log = Log()
    finish = asyncio.create_task(hand_in_two(log).finish(8))
    await asyncio.sleep(0)
    log.open.set()
    await finish
    assert log.stored == [b"one", b"two"]


async def test_an_edge_ends_although_its_messages_cannot_be_stored() -> None:
    """It waits no longer than it was told to, and leaves no task behind."""
    log = Log()
    await hand_in_two(log).finish(0.01)
    await until(lambda: len(asyncio.all_tasks()) == 1)
    assert log.stored == []


async def test_an_edge_that_never_had_a_plain_message_ends_at_once() -> None:
    """There is nothing to wait for."""
    await Adopter(Log().adopt, lambda name, payloads: None, Counters(), time.monotonic).finish(8)
