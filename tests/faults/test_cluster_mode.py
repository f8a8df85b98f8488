"""A Redis in cluster mode: with one shard it works like any other; with several the processes say so and wait."""

import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from redis import Redis

from tests.cluster.clients import Connection, StreamClient, get
from tests.cluster.processes import Cluster, Valkey, free_ports
from tests.cluster.running import running
from tests.cluster.waiting import until

pytestmark = pytest.mark.system

SLOTS = 16384
SEEN = 10.0  # seconds
MANY = 64


class Shard(Valkey):
    """A Valkey in cluster mode, which has all slots when it has started."""

    def __init__(self, folder: Path) -> None:
        port, bus = free_ports(2)
        nodes = ("--cluster-config-file", f"nodes-{port}.conf", "--cluster-port", str(bus))
        super().__init__(port, folder, "--cluster-enabled", "yes", *nodes, name=f"shard-{port}")
        self.bus = bus

    def start(self) -> None:
        """Start it with all slots."""
        super().start()
        with self.client() as redis:
            redis.execute_command("CLUSTER ADDSLOTSRANGE", 0, SLOTS - 1)
            until(lambda: redis.execute_command("CLUSTER INFO")["cluster_state"] == "ok")


@pytest.fixture
def cluster(stack: ExitStack, tmp_path: Path) -> Cluster:
    """Return a cluster on a Redis in cluster mode with one shard."""
    return stack.enter_context(running(Cluster(tmp_path, edges="a", valkey=Shard(tmp_path), COMET_AUDIT="2")))


def test_many_channels_on_one_shard(cluster: Cluster) -> None:
    """Row 10: channels of many slots on one connection, many subscribers at once, and one publish to many ids."""
    names = [f"room{number}" for number in range(MANY)]
    with ExitStack() as clients:
        one = clients.enter_context(StreamClient(cluster.a.port, *names))
        others = [StreamClient(cluster.a.port, f"other{number}") for number in range(MANY)]
        for client in others:
            clients.callback(client.close)
            client.ask("/sub", {"id": client._channels[0]})
        assert {client.open().status for client in others} == {200}
        with Connection(cluster.publisher.port) as backend:
            answer = backend.post("/pub", {"ids": names, "content": "to all"})
        assert answer.status == 200, answer.text
        assert {one.receive() for _ in names} == {"to all"}
        with cluster.valkey.client() as redis:
            assert redis.fcall("comet_publish", 1, "comet:room1", "by function")[1] == 1
            redis.publish("comet:room2", "plain")
        assert {one.receive(), one.receive()} == {"by function", "plain"}
    assert '"content":"to all"' in get(cluster.a.port, "/poll", id="room0", since="0", timeout="0").text
    assert "cannot be read" not in cluster.a.whole_log
    assert all(service.ready for service in cluster.services)


def test_several_shards_are_red_with_a_reason_and_heal(cluster: Cluster, stack: ExitStack, tmp_path: Path) -> None:
    """The processes stay up, name it in one line, and go on when the server has one shard again."""
    second = Shard(tmp_path)
    Valkey.start(second)
    stack.callback(second.stop)
    with StreamClient(cluster.a.port, "room") as subscriber:
        with cluster.valkey.client() as redis:
            move_slots(redis, second)
            until(lambda: redis.execute_command("CLUSTER INFO")["cluster_size"] == "2", 20)
        until(lambda: not any(service.ready for service in cluster.services), SEEN)
        for service in cluster.services:
            assert "a cluster of 2 shards" in get(service.admin_port, "/readyz").json["redis"]["error"]
        time.sleep(2)  # a duration: in which it could end
        assert all(service.alive for service in cluster.services)
        with cluster.valkey.client() as redis, second.client() as other:
            own = redis.execute_command("CLUSTER MYID")
            for node in (redis, other):
                node.execute_command("CLUSTER SETSLOT", 0, "NODE", own)
            until(lambda: redis.execute_command("CLUSTER INFO")["cluster_size"] == "1", 20)
        until(lambda: all(service.ready for service in cluster.services), SEEN)
        assert cluster.publish("room", "on").text == "ok\n"
        assert subscriber.receive() == "on"
    for service in cluster.services:
        assert service.whole_log.count("a cluster of 2 shards") == 1


def move_slots(redis: Redis, second: Valkey) -> None:
    """Give slot 0 to a second shard."""
    with second.client() as other:
        redis.execute_command("CLUSTER MEET", "127.0.0.1", second.port, second.bus)  # type: ignore[attr-defined]
        theirs = other.execute_command("CLUSTER MYID")
        until(lambda: theirs in str(redis.execute_command("CLUSTER NODES")), 20)
        until(lambda: "handshake" not in str(redis.execute_command("CLUSTER NODES")), 20)
        for node in (other, redis):
            node.execute_command("CLUSTER SETSLOT", 0, "NODE", theirs)
