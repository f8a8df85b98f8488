"""Announcing: this edge tells every two seconds that it is there, how it fares, and who is busy on it."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from heapq import heappush, heapreplace

from redis import RedisError

from common.logs import get_logger
from common.redis.registry import EdgeRegistry
from edge.channel_log import Channel
from edge.channels.hub import Hub
from edge.cluster.node_info import NodeInfo
from edge.counters import Counters

PERIOD = 2.0
BUSIEST = 10  # channels that are named
STEP = 2000  # channels looked at in one go: a fraction of a millisecond
FAREWELL = 1.0  # seconds that the last word may take

Ranking = list[tuple[int, str]]  # a heap: the least busy first


class NodeRegistration:
    """Tells Redis about one edge."""

    def __init__(
        self,
        registry: EdgeRegistry,
        edge_id: str,
        report: NodeInfo,
        hub: Hub,
        counters: Counters,
        clock: Callable[[], float],
    ) -> None:
        self._registry = registry
        self._edge_id = edge_id
        self._node_info = report
        self._hub = hub
        self._counters = counters
        self._clock = clock
        self._before = (clock(), 0, 0)
        self._is_refused = False

    async def run(self) -> None:
        """Announce for ever; first forget those edges that ended without a word."""
        with suppress(RedisError, OSError):
            await self._registry.read()
        while True:
            await self._announce()
            await asyncio.sleep(PERIOD)

    async def withdraw(self) -> None:
        """Say that this edge is gone; without Redis the announcement expires."""
        with suppress(RedisError, OSError):
            async with asyncio.timeout(FAREWELL):
                await self._registry.withdraw(self._edge_id)

    async def _announce(self) -> None:
        about = {**self._node_info.about_edge(), "rates": self._rates(), "busiest": await self._busiest()}
        try:
            await self._registry.announce(self._edge_id, about)
        except (RedisError, OSError) as error:
            if not self._is_refused:
                get_logger().warning("this edge cannot announce itself; dashboards do not show it", error=str(error))
            self._is_refused = True
        else:
            self._is_refused = False

    def _rates(self) -> dict[str, float]:
        """Return messages delivered and subscribers seated per second, since the last announcement."""
        at, delivered, opened = self._before
        counters = self._counters
        self._before = (self._clock(), counters.delivered_total.total(), counters.opened_total.total())
        seconds = self._before[0] - at or PERIOD
        return {
            "delivered": round((self._before[1] - delivered) / seconds, 1),
            "opened": round((self._before[2] - opened) / seconds, 1),
        }

    async def _busiest(self) -> list[tuple[str, int]]:
        """Return the channels with the most subscribers, without holding anybody up where there are very many."""
        channels = list(self._hub.channels.values())
        ranking: Ranking = []
        for start in range(0, len(channels), STEP):
            rank(channels[start : start + STEP], ranking)
            await asyncio.sleep(0)
        return [(name, count) for count, name in sorted(ranking, key=lambda one: (-one[0], one[1]))]


def rank(channels: Iterable[Channel], ranking: Ranking) -> None:
    """Enter channels into a ranking of the BUSIEST.

    Most channels are too small and cost one comparison: sorting 50,000 takes four times as long.
    """
    least = ranking[0][0] if len(ranking) == BUSIEST else 0
    for channel in channels:
        count = len(channel.seats)
        if count > least:
            if len(ranking) == BUSIEST:
                heapreplace(ranking, (count, channel.name))
            else:
                heappush(ranking, (count, channel.name))
            least = ranking[0][0] if len(ranking) == BUSIEST else 0
