"""Letting go of what Redis keeps of channels: in batches, and no failure does harm."""

import asyncio
from collections.abc import Sequence

from redis import RedisError

from edge.channels.release import MAX_CHANNELS_PER_CALL, Releaser


class Script:
    """A release script that takes a few turns, and fails when told to."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.failing = False

    async def __call__(self, names: Sequence[str]) -> None:
        """Note the call."""
        self.calls.append(list(names))
        await asyncio.sleep(0)
        if self.failing:
            raise RedisError


async def test_what_is_let_go_of_together_is_few_calls() -> None:
    """Each name is in one call, in the order of coming."""
    script = Script()
    releaser = Releaser(script)
    names = [f"room{number}" for number in range(MAX_CHANNELS_PER_CALL + 1)]
    for name in names:
        releaser.add(name)
    await asyncio.sleep(0.01)
    assert script.calls == [names[:MAX_CHANNELS_PER_CALL], names[MAX_CHANNELS_PER_CALL:]]


async def test_a_call_that_fails_is_not_repeated_and_stops_nothing() -> None:
    """What it was about expires; the next name is a call of its own."""
    script = Script()
    releaser = Releaser(script)
    script.failing = True
    releaser.add("one")
    await asyncio.sleep(0.01)
    script.failing = False
    releaser.add("two")
    await asyncio.sleep(0.01)
    assert script.calls == [["one"], ["two"]]


async def test_an_edge_that_stops_waits_for_no_call() -> None:
    """What is under way is cancelled."""
    script = Script()
    releaser = Releaser(script)
    for number in range(3 * MAX_CHANNELS_PER_CALL):
        releaser.add(str(number))
    await releaser.finish()
    assert len(script.calls) < 3
