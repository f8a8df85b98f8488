"""A primary and its replica, behind an address that leads to one of them, and what an operator does to them."""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

from redis import Redis, RedisError

from tests.cluster.clients import Answer, get
from tests.cluster.processes import HOST, Cluster, Service, Valkey
from tests.cluster.running import running
from tests.cluster.waiting import until
from tests.faults.checker import Ledger
from tests.faults.proxy import Proxy

SEEN = 10.0  # seconds until readiness tells of it, and until all is whole again after a primary can be reached
DOWN, UNUSABLE = "redis is down", "redis cannot be used"
AT_ONCE = ("--repl-diskless-sync-delay", "0")


class Pair:
    """A primary and its replica, `a` and `b`, and a cluster that finds the primary at an address of its own."""

    def __init__(self, stack: ExitStack, folder: Path, ports: Sequence[int], url: str) -> None:
        self.a = Valkey(ports[0], folder, *AT_ONCE, name="a")
        self.b = Valkey(ports[1], folder, *AT_ONCE, "--replicaof", f"{HOST} {ports[0]}", name="b")
        self.b.start()
        stack.callback(self.b.stop)
        cluster = Cluster(folder, edges="a", valkey=self.a, edge_redis=url, publisher_redis=url, COMET_AUDIT="2")
        self.cluster = stack.enter_context(running(cluster))
        follow(self.b, self.a)

    def swap(self) -> None:
        """Swap the roles as an operator does; no connection is cut."""
        lead(self.b)
        follow(self.a, self.b)


class RedisBackend(threading.Thread):
    """A backend that publishes to one channel by Redis' protocol, each time on a new connection through a proxy."""

    def __init__(self, proxy: Proxy, channel: str, ledger: Ledger) -> None:
        super().__init__(daemon=True)
        self.acknowledged = 0
        self._proxy = proxy
        self._channel = channel
        self._ledger = ledger
        self._over = threading.Event()

    def __enter__(self) -> "RedisBackend":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()

    def run(self) -> None:
        """Publish until the block ends; what Redis refuses is not tried again."""
        for number in count():
            if self._over.wait(0.01):
                return
            content = f"by redis {number}"
            self._ledger.tried.add(content)
            try:
                with Redis(HOST, self._proxy.port, socket_timeout=2, decode_responses=True) as redis:
                    seq, _ = redis.fcall("comet_publish", 1, f"comet:{self._channel}", content)
            except (RedisError, OSError):
                continue
            self._ledger.acknowledge(self._channel, str(seq), content)
            self.acknowledged += 1


def follow(replica: Valkey, primary: Valkey) -> None:
    """Make one server a replica of another, and wait until it has its data."""
    with replica.client() as redis:
        redis.replicaof(HOST, primary.port)
        until(lambda: redis.info("replication").get("master_link_status") == "up")


def lead(valkey: Valkey) -> None:
    """Make a server a primary."""
    with valkey.client() as redis:
        redis.replicaof("NO", "ONE")


def hand_over(primary: Valkey, replica: Valkey) -> None:
    """Let two servers swap their roles by Redis' own command, which loses no write."""
    with primary.client() as redis:
        redis.execute_command("FAILOVER", "TO", HOST, replica.port)  # type: ignore[no-untyped-call]
        until(lambda: redis.info("replication")["role"] == "slave")


def publish_at(valkey: Valkey, channel: str, content: str) -> None:
    """Publish with history at a server, past every publisher."""
    with valkey.client() as redis:
        redis.fcall("comet_publish", 1, f"comet:{channel}", content)


def has(valkey: Valkey, channel: str, messages: int) -> bool:
    """Say whether a replica has this many messages of a channel."""
    with valkey.client() as redis:
        return bool(redis.hget(f"{{comet:{channel}}}:top", "o") == str(messages))


def is_heard_at(valkey: Valkey, channel: str) -> bool:
    """Say whether an edge is subscribed to a channel at this very server."""
    with valkey.client() as redis:
        return bool(redis.pubsub_numsub(f"comet:{channel}")[0][1])


def readiness(service: Service) -> Any:
    """Return what /readyz says."""
    return get(service.admin_port, "/readyz").json


def why_not(service: Service) -> str:
    """Return what /readyz says of Redis while the service is not ready for its sake; empty otherwise."""
    said = readiness(service)
    return "" if said["ready"] else said["redis"].get("error", "")


def are_red(services: Sequence[Service], reason: str) -> bool:
    """Say whether services are not ready, all for this reason."""
    return all(why_not(service).startswith(reason) for service in services)


def were_red(services: Sequence[Service], reason: str) -> Callable[[], bool]:
    """Return what looks again, and says whether each service was not ready for this reason at some time."""
    left = list(services)

    def look() -> bool:
        left[:] = [service for service in left if not why_not(service).startswith(reason)]
        return not left

    return look


def reasons(service: Service) -> list[str]:
    """Return the log lines that say that Redis is down or of no use, without their time."""
    lines = service.whole_log.splitlines()
    return [line.partition(', "timestamp"')[0] for line in lines if DOWN in line or UNUSABLE in line]


def timed(work: Callable[[], Answer]) -> tuple[Answer, float]:
    """Return an answer and the seconds that it took."""
    began = time.monotonic()
    return work(), time.monotonic() - began
