"""The audit: quiet channels are compared with their logs, because the last message of a burst may be lost unseen.

A message that pub/sub loses leaves a hole that the next message shows. If there is no next one, only the audit finds
the hole. A channel is quiet if no stored message arrived for half a period; live messages do not count, because they
show no hole. A difference counts if it is there twice, half a second apart: at the first look a message may be stored
and still be on its way here.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence

from redis import RedisError

from common.scripts.results import SyncOutcome, SyncQuery, SyncResult
from edge.state import Channel

MAX_CHANNELS_PER_CALL = 250  # about a millisecond of Redis' time
SECOND_LOOK_DELAY = 0.5  # seconds
JITTER = 0.2  # of the period, up or down


class Auditor:
    """Compares every quiet channel with its log about once per `period`, which is in seconds."""

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
        """Audit until cancelled; the period is jittered, so that edges do not read together."""
        while True:
            for channel in self._channels.values():
                channel.moved = False
            await asyncio.sleep(self._period * random.uniform(1 - JITTER, 1 + JITTER) / 2)
            await self.audit()

    async def audit(self) -> None:
        """Compare the channels that were quiet for half a period, spread over the other half.

        Their names are kept meanwhile, and not the channels: one that is let go of must not stay in memory for that.
        """
        quiet = [channel.name for channel in self._channels.values() if not channel.moved]
        pause = self._period / 2 / (len(quiet) / MAX_CHANNELS_PER_CALL + 1)
        for start in range(0, len(quiet), MAX_CHANNELS_PER_CALL):
            suspects = await self._differing(quiet[start : start + MAX_CHANNELS_PER_CALL])
            if suspects:
                await asyncio.sleep(SECOND_LOOK_DELAY)
                for name in await self._differing(suspects):
                    self._repair(self._channels[name])
            await asyncio.sleep(pause)

    async def _differing(self, names: Sequence[str]) -> list[str]:
        """Name the live channels whose position is not the top of their log, as far as the logs can be read."""
        channels = map(self._channels.get, names)
        live = [channel for channel in channels if channel is not None and channel.is_live]
        try:
            readings = await self._sync([SyncQuery(channel.name) for channel in live])
        except (RedisError, OSError):
            return []
        pairs = zip(live, readings, strict=True)
        return [
            channel.name
            for channel, read in pairs
            if self._channels.get(channel.name) is channel and isinstance(read, SyncResult) and read.top != channel.last
        ]
