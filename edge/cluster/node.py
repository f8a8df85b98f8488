"""This edge as a node of the cluster: what it reports about itself, and its registration, which it renews."""

import asyncio
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from heapq import heappush, heapreplace
from typing import Any

from redis import RedisError

from common.logs import get_logger
from common.rpc.registry import EdgeRegistry
from common.service.admin import Check, is_ready
from common.service.version import our_build, our_version
from common.tasks import run_in_turns
from edge.channels.hub import Hub
from edge.cluster.commands import channel_name
from edge.counters import Counters
from edge.framing.transports import TRANSPORTS
from edge.state import Channel

PERIOD = 2.0  # seconds between two announcements
MAX_BUSIEST = 10  # channels in an announcement
CHANNELS_PER_STEP = 500  # channels that are ranked before the budget of the turn is checked
WITHDRAW_TIMEOUT = 1.0  # seconds

Ranking = list[tuple[int, str]]  # a heap: the least busy first


class NodeInfo:
    """What this edge knows about itself and its channels; `ports` returns the ports on which it listens, by name."""

    def __init__(
        self,
        edge_id: str,
        hub: Hub,
        counters: Counters,
        clock: Callable[[], float],
        readiness: Callable[[], Sequence[Check]],
        ports: Callable[[], Mapping[str, int]],
    ) -> None:
        self._edge_id = edge_id
        self._hub = hub
        self._counters = counters
        self._clock = clock
        self._readiness = readiness
        self._ports = ports
        self._started = time.time()

    async def on_info(self, fields: dict[str, Any]) -> dict[str, object]:
        """Return the reply to `info`: about one channel if there is an `id`, else about the whole edge."""
        if "id" not in fields:
            return self.about_edge()
        channel = self._hub.channels.get(channel_name(fields))
        return {"subscribers": channel.subscribers(self._clock()) if channel else 0}

    def about_edge(self) -> dict[str, object]:
        """Return what there is to know about this edge, as JSON values."""
        counters = self._counters
        checks = self._readiness()
        return {
            "id": self._edge_id,
            "host": socket.gethostname(),
            "version": our_version(),
            "build": our_build(),
            "started": int(self._started),
            "uptime": int(time.time() - self._started),
            **self._ports(),
            "ready": is_ready(checks),
            "draining": any(check.name == "drain" and not check.ok for check in checks),
            "connections": {transport: counters.held(transport) for transport in TRANSPORTS},
            "delivered": counters.delivered_total.total(),
            "channels": len(self._hub.channels),
        }


class NodeRegistration:
    """Registers one edge in Redis every PERIOD, with its figures and its busiest channels."""

    def __init__(
        self,
        registry: EdgeRegistry,
        edge_id: str,
        node_info: NodeInfo,
        hub: Hub,
        counters: Counters,
        clock: Callable[[], float],
    ) -> None:
        self._registry = registry
        self._edge_id = edge_id
        self._node_info = node_info
        self._hub = hub
        self._counters = counters
        self._clock = clock
        self._before = (clock(), 0, 0)
        self._is_refused = False

    async def run(self) -> None:
        """Announce this edge until cancelled; first remove the announcements of edges that died."""
        with suppress(RedisError, OSError):
            await self._registry.read()
        while True:
            await self._announce()
            await asyncio.sleep(PERIOD)

    async def withdraw(self) -> None:
        """Remove this edge's announcement; if Redis cannot be reached, it expires."""
        with suppress(RedisError, OSError):
            async with asyncio.timeout(WITHDRAW_TIMEOUT):
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
        """Return how many messages were delivered and subscribers held per second, since the last announcement."""
        at, delivered, opened = self._before
        counters = self._counters
        self._before = (self._clock(), counters.delivered_total.total(), counters.opened_total.total())
        seconds = self._before[0] - at or PERIOD
        return {
            "delivered": round((self._before[1] - delivered) / seconds, 1),
            "opened": round((self._before[2] - opened) / seconds, 1),
        }

    async def _busiest(self) -> list[tuple[str, int]]:
        """Return the channels with the most subscribers, as names with numbers, without blocking the event loop."""
        ranking: Ranking = []
        await run_in_turns(self._rank_all(ranking), self._clock)
        return [(name, count) for count, name in sorted(ranking, key=lambda one: (-one[0], one[1]))]

    def _rank_all(self, ranking: Ranking) -> Iterator[None]:
        channels = list(self._hub.channels.values())
        for start in range(0, len(channels), CHANNELS_PER_STEP):
            rank(channels[start : start + CHANNELS_PER_STEP], ranking)
            yield


def rank(channels: Iterable[Channel], ranking: Ranking) -> None:
    """Add channels to a ranking of the MAX_BUSIEST busiest.

    Most channels are too small for it and cost one comparison; to sort 50,000 channels costs four times as much.
    """
    least = ranking[0][0] if len(ranking) == MAX_BUSIEST else 0
    for channel in channels:
        count = len(channel.seats)
        if count > least:
            if len(ranking) == MAX_BUSIEST:
                heapreplace(ranking, (count, channel.name))
            else:
                heappush(ranking, (count, channel.name))
            least = ranking[0][0] if len(ranking) == MAX_BUSIEST else 0
