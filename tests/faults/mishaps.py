"""What a soak does to a cluster: each mishap happens by itself, and leaves everything running again."""

import random
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from redis import Redis

from tests.cluster.processes import HOST, Cluster, Valkey, free_ports
from tests.cluster.waiting import until
from tests.faults.conftest import AOF
from tests.faults.proxy import Proxy

CHANNELS = [f"room{number}" for number in range(4)]
PLAIN = [f"plain{number}" for number in range(2)]  # these get plain PUBLISHes only
IN_STEP = 30.0  # seconds in which a replica has its data


class Faults:
    """What can go wrong; each leaves the cluster running again.

    `ends_in_doubt` are those after which a plain message may be lost that Redis has sent to edges: none of them has
    stored it yet. Those `of_one_edge` are of that kind while a channel has no other.
    """

    def __init__(self, cluster: Cluster, spare: Valkey, proxy: Proxy, folder: Path, dice: random.Random) -> None:
        self._cluster = cluster
        self._spare = spare  # becomes the primary when that is isolated
        self._proxy = proxy
        self._copy = folder / "older"
        self._dice = dice
        self.ends_in_doubt = {
            self.kill_redis,
            self.pause_redis,
            self.drop_subscriptions,
            self.roll_back,
            self.demote_redis,
            self.isolate_redis,
        }
        self.of_one_edge = {self.kill_an_edge, self.end_an_edge, self.pause_an_edge}

    def kill_redis(self) -> None:
        """Kill Redis, which has an append-only file, and start it again."""
        self._cluster.valkey.kill()
        time.sleep(self._dice.uniform(0, 2))
        self._cluster.valkey.start()

    def kill_an_edge(self) -> None:
        """Kill an edge and start it again."""
        edge = self._dice.choice(self._cluster.edges)
        edge.kill()
        time.sleep(self._dice.uniform(0, 1))
        edge.start()
        until(lambda: edge.ready, 15)

    def end_an_edge(self) -> None:
        """Tell an edge to end and start it again."""
        edge = self._dice.choice(self._cluster.edges)
        edge.stop()
        edge.start()
        until(lambda: edge.ready, 15)

    def pause_redis(self) -> None:
        """Let Redis stand still for a while."""
        self._cluster.valkey.pause()
        time.sleep(self._dice.uniform(0.1, 3))
        self._cluster.valkey.resume()

    def pause_an_edge(self) -> None:
        """Let an edge stand still for a while."""
        edge = self._dice.choice(self._cluster.edges)
        edge.pause()
        time.sleep(self._dice.uniform(0.1, 2))
        edge.resume()

    def drop_subscriptions(self) -> None:
        """Have Redis close every subscribe connection."""
        with self._cluster.valkey.client() as redis:
            redis.client_kill_filter(_type="pubsub")

    def forget_idle_connections(self) -> None:
        """Forget, as a NAT does, the connections that rested for a while."""
        self._proxy.forget(rest=self._dice.uniform(0.5, 5))

    def demote_redis(self) -> None:
        """Make Redis a replica for a while; no connection is cut."""
        with self._cluster.valkey.client() as redis:
            redis.replicaof(HOST, free_ports(1)[0])
            time.sleep(self._dice.uniform(0.1, 6))
            redis.replicaof("NO", "ONE")

    def isolate_redis(self) -> None:
        """Fail over to a replica: the old primary answers no more on its open connections, new ones reach the new."""
        old, new = self._cluster.valkey, self._spare
        with old.client() as primary, new.client() as replica:
            replica.replicaof(HOST, old.port)
            until(lambda: is_in_step(replica), IN_STEP)
            self._proxy.target = new.port
            self._proxy.forget(rest=0)
            primary.wait(1, 1000)  # for what it has acknowledged; nobody hears of a write after that
            replica.replicaof("NO", "ONE")
        self._cluster.valkey, self._spare = new, old

    def delete_a_key(self) -> None:
        """Evict a channel's position or its history."""
        with self._cluster.valkey.client() as redis:
            redis.delete(f"{{comet:{self._dice.choice(CHANNELS)}}}:{self._dice.choice(['top', 'log'])}")

    def wipe_a_channel(self) -> None:
        """Evict a channel's position and its history; a plain channel's, too."""
        with self._cluster.valkey.client() as redis:
            name = self._dice.choice(CHANNELS + PLAIN)
            redis.delete(f"{{comet:{name}}}:top", f"{{comet:{name}}}:log")

    def lose_and_double(self) -> None:
        """Lose and double some stored messages on their way to the edges, for a while."""
        self._proxy.lose = self._proxy.double = 0.03
        time.sleep(self._dice.uniform(0.2, 1))
        self._proxy.lose = self._proxy.double = 0.0

    def keep_a_copy(self) -> None:
        """Keep a copy of Redis' data for a roll-back."""
        with self._cluster.valkey.client() as redis:
            data = Path(redis.config_get("dir")["dir"]) / "appendonlydir"  # type: ignore[index]
        shutil.rmtree(self._copy, ignore_errors=True)
        shutil.copytree(data, self._copy)

    def roll_back(self) -> None:
        """Kill Redis and start it with the data of an earlier moment."""
        with self._cluster.valkey.client() as redis:
            data = Path(redis.config_get("dir")["dir"]) / "appendonlydir"  # type: ignore[index]
        self._cluster.valkey.kill()
        shutil.rmtree(data)
        shutil.copytree(self._copy, data)
        self._cluster.valkey.start()

    def choose(self) -> Callable[[], None]:
        """Return one at random."""
        return self._dice.choice(
            [
                self.kill_redis,
                self.kill_an_edge,
                self.end_an_edge,
                self.pause_redis,
                self.pause_an_edge,
                self.drop_subscriptions,
                self.delete_a_key,
                self.wipe_a_channel,
                self.wipe_a_channel,
                self.lose_and_double,
                self.roll_back,
                self.forget_idle_connections,
                self.demote_redis,
                self.isolate_redis,
            ]
        )


def is_in_step(replica: Redis) -> bool:
    """Say whether a replica has the data of its primary, on disk as well."""
    link, disk = replica.info("replication"), replica.info("persistence")
    rewrites = disk["aof_rewrite_in_progress"] or disk["aof_rewrite_scheduled"]
    return link["master_link_status"] == "up" and not rewrites


@contextmanager
def two_servers(folder: Path) -> Iterator[tuple[Valkey, Valkey]]:
    """Yield two servers, each with its files in a folder of its own; the second is running."""
    servers = []
    for port in free_ports(2):
        (folder / str(port)).mkdir()
        servers.append(Valkey(port, folder / str(port), *AOF, "--repl-diskless-sync-delay", "0"))
    first, second = servers
    try:
        second.start()
        yield first, second
    finally:
        for server in servers:
            server.stop()
