"""Redis is killed, wiped, rolled back or failed over: no client is thrown out, and none is left believing a lie."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cluster.processes import Cluster, Valkey, free_ports
from tests.cluster.waiting import until
from tests.faults.conftest import AOF, StartTrial
from tests.faults.numbers import Record, note
from tests.faults.proxy import Proxy

pytestmark = pytest.mark.system

CHANNELS = ("one", "two", "three")


def test_kill_and_restart_with_aof(start: StartTrial, record_property: Record) -> None:
    """With an append-only file a crash of Redis costs nothing: no connection, no message, no repetition, no reset."""
    trial = start(valkey_options=AOF)
    trial.follow(*CHANNELS)
    with trial.writing() as writer:
        until(lambda: trial.ledger.count > 200)
        trial.cluster.valkey.kill()
        until(lambda: len(writer.refused) >= 20)
        time.sleep(1)  # the outage
        trial.cluster.valkey.start()
        opened, before = time.monotonic(), trial.ledger.count
        until(lambda: trial.ledger.count > before + 100)
        first = {follower: len(follower.messages) for follower in trial.followers}
        until(lambda: all(len(follower.messages) > first[follower] for follower in trial.followers))
        live = time.monotonic() - opened
    summary = trial.finish()

    note(record_property, summary, live_after=live)
    assert (summary.drops, summary.resets) == (0, 0)
    assert summary.slowest_refusal <= 1.0
    assert live <= 3.0


def test_kill_without_persistence(start: StartTrial, record_property: Record) -> None:
    """A Redis that comes back empty has lost history: every client is told so, also on a quiet channel."""
    trial = start()
    trial.follow(*CHANNELS, "quiet")
    trial.publish("quiet", "the only message")
    with trial.writing(channels=CHANNELS):
        until(lambda: trial.ledger.count > 200)
        trial.cluster.valkey.kill()
        trial.cluster.valkey.start()
        opened = time.monotonic()
        until(lambda: all(follower.resets for follower in trial.followers))
        told = time.monotonic() - opened
    summary = trial.finish()

    note(record_property, summary, all_told_after=told)
    assert {follower.resets for follower in trial.followers} == {1}
    assert told <= 3.0  # half a second to connect again, and COMET_AUDIT
    assert summary.drops == 0


def test_restart_from_an_older_dump(start: StartTrial, tmp_path: Path, record_property: Record) -> None:
    """After a rollback every client that had more is reset, and one that had not may go on."""
    trial = start()
    trial.follow("rolled-back", "untouched")
    trial.publish("untouched", "before")
    with trial.writing(channels=["rolled-back"]):
        until(lambda: trial.ledger.count > 100)
    save(trial.cluster, tmp_path / "older.rdb")
    with trial.writing(channels=["rolled-back"]):
        until(lambda: trial.ledger.count > 200)
    last = max(trial.ledger.acked["rolled-back"])
    until(
        lambda: all(one.log.entries[-1].seq == str(last) for one in trial.followers if one.log.channel != "untouched")
    )

    trial.cluster.valkey.kill()
    shutil.copy(tmp_path / "older.rdb", tmp_path / "dump.rdb")
    trial.cluster.valkey.start()
    until(lambda: all(one.resets for one in trial.followers if one.log.channel != "untouched"))
    with trial.writing(channels=["rolled-back", "untouched"]):
        until(lambda: trial.ledger.count > 300)
    late = trial.follow("rolled-back", edges="b")  # also a newcomer finds a working channel
    summary = trial.finish()

    note(record_property, summary)
    assert {one.resets for one in trial.followers if one.log.channel == "untouched"} == {0}
    assert {one.resets for one in late} == {0}


def save(cluster: Cluster, where: Path) -> None:
    """Have Redis write its data and keep a copy."""
    with cluster.valkey.client() as redis:
        redis.save()
        shutil.copy(Path(redis.config_get("dir")["dir"]) / "dump.rdb", where)  # type: ignore[index]


def test_a_lagging_replica_is_promoted(
    start: StartTrial, proxy_to: Callable[[int], Proxy], tmp_path: Path, record_property: Record
) -> None:
    """A failover that loses acknowledged messages resets every client that had them."""
    master_port, replica_port = free_ports(2)
    to_master, edge_proxy = proxy_to(master_port), proxy_to(master_port)
    (tmp_path / "replica").mkdir()
    replica = Valkey(replica_port, tmp_path / "replica", name="replica")
    master = Valkey(master_port, tmp_path, "--repl-diskless-sync-delay", "0")
    trial = start(valkey=master, edge_redis=edge_proxy.url, publisher_redis=edge_proxy.url)
    replica.start()
    try:
        with replica.client() as redis:
            redis.replicaof("127.0.0.1", to_master.port)
            until(lambda: redis.info("replication")["master_link_status"] == "up")
        trial.follow("room")
        with trial.writing():
            until(lambda: trial.ledger.count > 100)
        to_master.freeze()
        with trial.writing():
            until(lambda: trial.ledger.count > 200)
        lost = max(trial.ledger.acked["room"])
        until(lambda: all(one.log.entries[-1].seq == str(lost) for one in trial.followers))

        trial.cluster.valkey.kill()
        with replica.client() as redis:
            redis.replicaof("NO", "ONE")
        edge_proxy.target = replica_port
        edge_proxy.cut()
        switched = time.monotonic()
        until(lambda: all(one.resets for one in trial.followers))
        told = time.monotonic() - switched
        summary = trial.finish()
    finally:
        replica.stop()

    note(record_property, summary, all_told_after=told)
    assert {one.resets for one in trial.followers} == {1}
