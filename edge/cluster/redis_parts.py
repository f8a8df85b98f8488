"""What an edge has of Redis: its two connections, and what uses them without a look at seats or channels.

`redis` is for commands and `pubsub` for messages. A connection is proved before it counts (common/redis/proof.py).
"""

import time
from collections.abc import Sequence

from common.names import ForeignNames, RedisNames
from common.redis.client import connect, database, endpoint
from common.redis.proof import ServerProof
from common.redis.pubsub import PubSub
from common.rpc.client import EdgeClient
from common.rpc.replies import ReplyInbox
from common.scripts.calls import Scripts
from common.scripts.deployments import Deployment, Deployments
from common.settings import Settings
from edge.channels.release import Releaser
from edge.cluster.name_lists import Command, NameLists
from edge.cluster.redis_clock import RedisClock
from edge.cluster.rpc_server import ReplySender
from edge.counters import Counters
from edge.engine.seats import Seats

MIN_NAMES_LIFETIME = 300.0  # seconds that the names of long cursors are kept, however short the history


class RedisParts:
    """Makes the parts of one edge, which begin their work when they are run (`edge/app.py`)."""

    def __init__(self, edge_id: str, settings: Settings, seats: Seats, counters: Counters) -> None:
        self.names = RedisNames(settings.prefix)
        self.redis = connect(settings.redis_url)
        self.clock = RedisClock(self.redis.time, time.monotonic)
        probe = self.names.probe(edge_id)
        self.proof = ServerProof(settings.redis_url, probe, self.redis)
        self.pubsub = PubSub(
            endpoint(settings.redis_url),
            probe,
            self.proof.publish,
            verify=self.proof.verify,
            on_proved=counters.probe.observe,
        )
        self.proof.on_suspect(self.pubsub.suspect)
        inbox = ReplyInbox(self.names, edge_id)
        self.pubsub.subscribe_own(inbox.name, inbox.on_message, inbox.on_reachable)
        self.replies = ReplySender(self.names, self._publish_all, counters)
        self.scripts = Scripts(self.redis, self.names, settings)
        self.releaser = Releaser(self.scripts.release)
        self.foreign = ForeignNames(settings.prefix)
        here = Deployment(database(settings.redis_url), settings.prefix)
        self.deployments = Deployments(self.redis, here, self.foreign)
        self.name_lists = NameLists(
            edge_id,
            self._run_all,
            self.names,
            seats,
            time.monotonic,
            lifetime=max(settings.history_ttl, MIN_NAMES_LIFETIME),
            max_bytes=settings.names_bytes,
        )
        self.peers = EdgeClient(self.names, inbox, self.redis.publish)

    async def finish(self) -> None:
        """Send what is still to be let go of."""
        await self.releaser.finish()
        await self.name_lists.finish()

    async def aclose(self) -> None:
        """Close the connections."""
        await self.proof.aclose()
        await self.redis.aclose()

    async def _run_all(self, commands: Sequence[Command]) -> Sequence[object]:
        """Send commands to Redis in one go; return the answer of each, or why it was refused."""
        pipeline = self.redis.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        return await pipeline.execute(raise_on_error=False)

    async def _publish_all(self, messages: Sequence[tuple[bytes, bytes]]) -> None:
        pipeline = self.redis.pipeline(transaction=False)
        for name, payload in messages:
            pipeline.publish(name, payload)
        await pipeline.execute()
