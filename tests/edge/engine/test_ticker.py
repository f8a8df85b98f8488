"""Turning: deadlines are looked at again and again, whatever one of them does."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import pytest

from edge.engine import ticker as turning
from edge.engine.ticker import turn


async def test_each_part_is_called_while_it_has_more_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part that needs three steps gets them, and the loop turns in between."""
    monkeypatch.setattr(turning, "PERIOD", 0)
    called: list[str] = []
    left = iter([True, True, False, False])

    def part() -> bool:
        called.append("part")
        asyncio.get_running_loop().call_soon(called.append, "others")
        return next(left)

    await turned([part], lambda: len(called) >= 8)
    assert called[:5] == ["part", "others", "part", "others", "part"]


async def test_a_bug_stops_no_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part that fails is called again the next time, and the parts after it are called all the same."""
    monkeypatch.setattr(turning, "PERIOD", 0)
    called: list[str] = []

    def broken() -> bool:
        called.append("broken")
        raise RuntimeError("a bug")

    def sound() -> bool:
        called.append("sound")
        return False

    await turned([broken, sound], lambda: len(called) >= 4)
    assert called[:4] == ["broken", "sound", "broken", "sound"]


async def turned(parts: list[Callable[[], bool]], done: Callable[[], bool]) -> None:
    """Turn until it is done."""
    turning_on = asyncio.create_task(turn(parts))
    async with asyncio.timeout(5):
        while not done():  # noqa: ASYNC110  # a look at a plain list: there is no event to wait for
            await asyncio.sleep(0)
    turning_on.cancel()
    with suppress(asyncio.CancelledError):
        await turning_on
