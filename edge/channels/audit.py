"""The audit: quiet channels are compared with their logs, for the last message of a burst may be lost unseen.

A message that pub/sub loses shows as a hole when the next one comes. If none comes, only this finds it. Quiet is a
channel without stored messages: live ones show no hole. A difference must hold twice, half a second apart: the first
look may catch a message between the log and our connection.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence

from redis import RedisError

from common.scripts.results import SyncOutcome, SyncQuery, SyncResult
from edge.state import Channel

CHANNELS_PER_LOOK = 250  # channels in one look: about a millisecond of Redis' time
SECOND_LOOK_DELAY = 0.5
JITTER = 0.2


class Auditor:
    """Looks at every quiet channel about once per period."""

    def __init__(
        self,
        channels: Mapping[str, Channel],
        repair: Callable[[Channel], None],
        sync: Callable[[Sequence[SyncQuery]], Awaitable[Sequence[SyncOutcome]]],
        period: float,
    ) -> None:
        self._channels = channels
        self._repair = repair
        self._sync = sync
        self._period = period

    async def run(self) -> None:
        """Audit for ever; edges drift apart, so that they do not ask together."""
        while True:
            for channel in self._channels.values():
                channel.moved = False
            await asyncio.sleep(self._period * random.uniform(1 - JITTER, 1 + JITTER) / 2)
            await self.audit()

    async def audit(self) -> None:
        """Look at every channel that was quiet for half a period, spread over the other half."""
        quiet = [channel for channel in self._channels.values() if not channel.moved]
        pause = self._period / 2 / (len(quiet) / CHANNELS_PER_LOOK + 1)
        for start in range(0, len(quiet), CHANNELS_PER_LOOK):
            suspects = await self._differing(quiet[start : start + CHANNELS_PER_LOOK])
            if suspects:
                await asyncio.sleep(SECOND_LOOK_DELAY)
                for channel in await self._differing(suspects):
                    self._repair(channel)
            await asyncio.sleep(pause)

    async def _differing(self, channels: list[Channel]) -> list[Channel]:
        """Return those of the channels that stand elsewhere than their logs, as far as these can be read."""
        live = [channel for channel in channels if channel.is_live]
        try:
            readings = await self._sync([SyncQuery(channel.name) for channel in live])
        except (RedisError, OSError):
            return []
        pairs = zip(live, readings, strict=True)
        return [channel for channel, read in pairs if isinstance(read, SyncResult) and read.top != channel.last]
