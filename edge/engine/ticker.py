"""Turning: the edge's deadlines are looked at four times a second, in steps between which others have their turn."""

import asyncio
from collections.abc import Callable, Sequence

from common.logs import get_logger

PERIOD = 0.25


async def turn(parts: Sequence[Callable[[], bool]]) -> None:
    """Call each part every PERIOD, again while it says that there is more to do; runs until cancelled."""
    while True:
        await asyncio.sleep(PERIOD)
        for part in parts:
            await _turn_one(part)


async def _turn_one(part: Callable[[], bool]) -> None:
    """Call one part until it is done; a bug in it ends neither its later turns nor those of the others."""
    try:
        while part():  # noqa: ASYNC110  # it is work, not a wait
            await asyncio.sleep(0)
    except Exception:
        get_logger().exception("some deadlines were not kept")
