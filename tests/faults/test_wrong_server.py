"""Connections to Redis that stay open and lead astray: a demotion, a moved address, a forgetful NAT, a full Redis."""

import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.clients import Answer, StreamClient, get
from tests.cluster.processes import HOST, Cluster, Process, Service, Valkey, free_ports
from tests.cluster.running import running
from tests.cluster.waiting import until
from tests.faults.proxy import Proxy

pytestmark = pytest.mark.system

SEEN = 10.0  # seconds until readiness tells of it, and until all is whole again after a primary can be reached
NEVER = 12.0  # seconds of quiet after which a NAT has forgotten a connection


class Pair:
    """A primary and its replica, `a` and `b`, and a cluster that finds the primary at an address of its own."""

    def __init__(self, stack: ExitStack, folder: Path, ports: Sequence[int], url: str) -> None:
        self.a = Valkey(ports[0], folder, name="a")
        self.b = Valkey(ports[1], folder, "--replicaof", f"{HOST} {ports[0]}", name="b")
        self.b.start()
        stack.callback(self.b.stop)
        cluster = Cluster(folder, edges="a", valkey=self.a, edge_redis=url, publisher_redis=url, COMET_AUDIT="2")
        self.cluster = stack.enter_context(running(cluster))
        follow(self.b, self.a)

    def swap(self) -> None:
        """Swap the roles as an operator does; no connection is cut."""
        lead(self.b)
        follow(self.a, self.b)


@pytest.fixture
def ports() -> list[int]:
    """Return the ports of the primary and of the replica."""
    return free_ports(2)


@pytest.fixture
def proxy(ports: list[int], proxy_to: Callable[[int], Proxy]) -> Proxy:
    """Return a proxy that leads to the primary."""
    return proxy_to(ports[0])


@pytest.fixture
def pair(stack: ExitStack, tmp_path: Path, ports: list[int], proxy: Proxy) -> Pair:
    """Return a primary, a replica that is in step, and a cluster behind the proxy that is ready."""
    return Pair(stack, tmp_path, ports, proxy.url)


def follow(replica: Valkey, primary: Valkey) -> None:
    """Make one server a replica of another, and wait until it has its data."""
    with replica.client() as redis:
        redis.replicaof(HOST, primary.port)
        until(lambda: redis.info("replication").get("master_link_status") == "up")


def lead(valkey: Valkey) -> None:
    """Make a server a primary."""
    with valkey.client() as redis:
        redis.replicaof("NO", "ONE")


def publish_at(valkey: Valkey, channel: str, content: str) -> None:
    """Publish with history at a server, past every publisher."""
    with valkey.client() as redis:
        redis.fcall("comet_publish", 1, f"comet:{channel}", content)


def readiness(service: Service) -> Any:
    """Return what /readyz says."""
    return get(service.admin_port, "/readyz").json


def timed(work: Callable[[], Answer]) -> tuple[Answer, float]:
    """Return an answer and the seconds that it took."""
    began = time.monotonic()
    return work(), time.monotonic() - began


def test_a_demoted_server_makes_all_not_ready_until_it_leads_again(pair: Pair) -> None:
    """Row 1: nothing is cut; readiness names the replica, a publish gets its 503, and the missed message arrives."""
    cluster = pair.cluster
    with StreamClient(cluster.a.port, "room") as subscriber:
        assert cluster.publish("room", "before").status == 200
        assert subscriber.receive() == "before"
        pair.swap()
        until(lambda: not any(service.ready for service in cluster.services), SEEN)
        for service in cluster.services:
            assert readiness(service)["redis"]["error"].startswith("READONLY")
        answer, took = timed(lambda: cluster.publish("room", "refused"))
        assert (answer.status, took < 1.0) == (503, True)
        newcomer = get(cluster.a.port, "/poll", id="another")
        assert newcomer.status == 503
        assert newcomer.json["content"].startswith("Redis did not let this edge join the channels within 3 seconds")
        publish_at(pair.b, "room", "missed")
        until(lambda: has_two(pair.a))

        lead(pair.a)
        until(lambda: all(service.ready for service in cluster.services), SEEN)
        assert subscriber.receive() == "missed"
        assert cluster.publish("room", "after").text == "ok\n"
        assert subscriber.receive() == "after"
    for service in cluster.services:
        assert service.whole_log.count("READONLY") <= 3, service.whole_log


def has_two(valkey: Valkey) -> bool:
    """Say whether a replica has the second message of the room."""
    with valkey.client() as redis:
        return bool(redis.hget("{comet:room}:top", "o") == "2")


def test_a_planned_swap_behind_a_load_balancer_heals_by_itself(pair: Pair, proxy: Proxy) -> None:
    """Row 2: open connections stay on the old primary, which follows the new one now; new ones reach the new one."""
    cluster = pair.cluster
    with StreamClient(cluster.a.port, "room") as subscriber:
        pair.swap()
        proxy.target = pair.b.port
        began = time.monotonic()
        until(lambda: cluster.publish("room", "on the new one").text == "ok\n", SEEN)
        assert subscriber.receive() == "on the new one"
        with StreamClient(cluster.a.port, "another"):
            pass
        until(lambda: all(service.ready for service in cluster.services), SEEN)
        assert time.monotonic() - began < SEEN


HAPROXY = """\
defaults
    mode tcp
    timeout connect 1s
    timeout client 1h
    timeout server 1h

listen redis
    bind {host}:{port}
    option tcp-check
    tcp-check connect
    tcp-check send PING\\r\\n
    tcp-check expect string +PONG
    tcp-check send info\\ replication\\r\\n
    tcp-check expect string role:master
    default-server check inter 500ms fall 2 rise 1
    server a {host}:{a}
    server b {host}:{b}
"""


@pytest.mark.skipif(shutil.which("haproxy") is None, reason="no haproxy on this machine")
def test_a_planned_swap_behind_haproxy_heals_by_itself(stack: ExitStack, tmp_path: Path, ports: list[int]) -> None:
    """Row 2 with the usual recipe, which cuts no connection to the server that is no primary any more."""
    (port,) = free_ports(1)
    config = tmp_path / "haproxy.cfg"
    config.write_text(HAPROXY.format(host=HOST, port=port, a=ports[0], b=ports[1]))
    haproxy = Process("haproxy", ["haproxy", "-db", "-f", str(config)], {}, tmp_path)
    haproxy.start()
    stack.callback(haproxy.stop)
    pair = Pair(stack, tmp_path, ports, f"redis://{HOST}:{port}")
    with StreamClient(pair.cluster.a.port, "room") as subscriber:
        pair.swap()
        until(lambda: pair.cluster.publish("room", "on the new one").text == "ok\n", SEEN)
        assert subscriber.receive() == "on the new one"
        until(lambda: all(service.ready for service in pair.cluster.services), SEEN)


def test_a_moved_address_is_noticed_though_the_old_server_takes_everything(pair: Pair, proxy: Proxy) -> None:
    """Row 3: the old server does not know that it was left; what is published on the new one arrives all the same."""
    cluster = pair.cluster
    with StreamClient(cluster.a.port, "room") as subscriber:
        lead(pair.b)
        proxy.target = pair.b.port
        moved = time.monotonic()
        publish_at(pair.b, "room", "on the new server")
        assert subscriber.receive() == "on the new server"
        assert time.monotonic() - moved < SEEN
        until(lambda: cluster.publish("room", "by the publisher").text == "ok\n", SEEN)
        until(lambda: all(service.ready for service in cluster.services), SEEN)
        assert subscriber.receive() == "by the publisher"
    assert "new connections reach a server that does not know" in cluster.a.whole_log


def test_connections_that_a_nat_forgot_cost_no_request(pair: Pair, proxy: Proxy) -> None:
    """Row 4: after a burst and some quiet the idle connections lead nowhere; no publish and no newcomer notices."""
    cluster = pair.cluster
    proxy.freeze()  # a request that finds every connection taken opens one more
    with ThreadPoolExecutor(1) as thread:
        opened = thread.submit(burst, cluster)
        until(lambda: proxy.connections >= 30)
        proxy.thaw()
        opened.result()
    time.sleep(NEVER)
    assert proxy.forget(rest=NEVER - 1) >= 20
    began = time.monotonic()
    answers = burst(cluster)
    assert time.monotonic() - began < 3.0
    assert {answer.status for answer in answers} <= {200, 404}, [answer.text for answer in answers]


def burst(cluster: Cluster) -> list[Answer]:
    """Have the publisher and the edge use many connections to Redis at the same time."""
    requests = [lambda n=n: cluster.publish(f"burst{n % 8}", "x") for n in range(64)]
    requests += [lambda n=n: get(cluster.a.port, "/poll", id=f"burst{n}", timeout="0") for n in range(64)]
    with ThreadPoolExecutor(len(requests)) as threads:
        return list(threads.map(lambda request: request(), requests))


def test_two_swaps_within_a_second_leave_everything_whole(pair: Pair) -> None:
    """A role that comes and goes costs no process its readiness for long, and not a line for each try."""
    cluster = pair.cluster
    with StreamClient(cluster.a.port, "room") as subscriber:
        pair.swap()
        lead(pair.a)
        follow(pair.b, pair.a)
        until(lambda: cluster.publish("room", "on").text == "ok\n", SEEN)
        assert subscriber.receive() == "on"
        until(lambda: all(service.ready for service in cluster.services), SEEN)
    for service in cluster.services:
        assert service.whole_log.count("redis is down") <= 2


def test_a_proxy_that_accepts_and_never_answers_is_one_line(pair: Pair, proxy: Proxy) -> None:
    """The line says what was waited for; publishing gets its 503 in time; all recover with the proxy."""
    cluster = pair.cluster
    proxy.freeze()
    until(lambda: not any(service.ready for service in cluster.services), SEEN)
    answer, took = timed(lambda: cluster.publish("room", "refused"))
    assert (answer.status, took < 1.0) == (503, True)
    until(lambda: "did not answer" in readiness(cluster.a)["redis"].get("error", ""), SEEN)
    used = cluster.a.cpu_seconds
    time.sleep(2)
    assert cluster.a.cpu_seconds - used < 0.4
    proxy.thaw()
    until(lambda: all(service.ready for service in cluster.services), SEEN)
    assert cluster.a.whole_log.count("redis is down") == 1


@pytest.fixture
def lonely(stack: ExitStack, tmp_path: Path) -> Cluster:
    """Return a cluster with one edge whose Redis may be spoilt."""
    return stack.enter_context(running(Cluster(tmp_path, edges="a")))


def test_a_full_redis_is_told_and_takes_no_subscriber_out(lonely: Cluster) -> None:
    """Subscribers are still served, so the edge stays ready; `writes` and one line say what Redis said."""
    assert lonely.publish("room", "known").status == 404  # nobody hears it, and it makes the channel known
    with lonely.valkey.client() as redis:
        redis.config_set("maxmemory", 1)
        until(lambda: all("writes" in readiness(service) for service in lonely.services), SEEN)
        for service in lonely.services:
            said = readiness(service)
            assert said["ready"]
            assert said["writes"]["ok"] is False
            assert said["writes"]["error"].startswith("OOM")
        with StreamClient(lonely.a.port, "room"):
            pass
        assert "no memory left for a new channel" in get(lonely.a.port, "/poll", id="unknown").text
        assert lonely.publish("room", "too much").status == 503
        redis.config_set("maxmemory", 0)
    until(lambda: all("writes" not in readiness(service) for service in lonely.services), SEEN)
    assert [service.whole_log.count("redis refuses writes") for service in lonely.services] == [1, 1]


def test_too_few_replicas_are_told_as_well(lonely: Cluster) -> None:
    """NOREPLICAS comes from the right server, too."""
    with lonely.valkey.client() as redis:
        redis.config_set("min-replicas-to-write", 1)
        until(lambda: all("writes" in readiness(service) for service in lonely.services), SEEN)
        assert {readiness(service)["writes"]["error"][:10] for service in lonely.services} == {"NOREPLICAS"}
        assert all(service.ready for service in lonely.services)


@pytest.mark.parametrize(
    ("rights", "missing"),
    [
        (["-role"], []),
        (["-set"], ["SET on the key comet:!probe:*"]),
        (["-set", "-role"], ["SET on the key comet:!probe:*", "ROLE"]),
        (["-set", "-role", "-cluster|info"], ["SET on the key comet:!probe:*", "ROLE"]),
    ],
    ids=" ".join,
)
def test_rights_that_are_missing_are_named_once_and_cost_no_readiness(
    stack: ExitStack, tmp_path: Path, rights: list[str], missing: list[str]
) -> None:
    """The probe does what it may; red is only what was proved."""
    valkey = Valkey(free_ports(1)[0], tmp_path)
    valkey.start()
    with valkey.client() as redis:
        redis.execute_command("ACL", "SETUSER", "comet", "on", ">pw", "+@all", "allchannels", "allkeys", *rights)
    url = f"redis://comet:pw@{HOST}:{valkey.port}"
    cluster = Cluster(tmp_path, edges="a", valkey=valkey, edge_redis=url, publisher_redis=url)
    stack.callback(cluster.stop)
    cluster.start_services()
    cluster.wait_ready()
    time.sleep(6)  # a second probe
    assert all(service.ready for service in cluster.services)
    for service in cluster.services:
        assert [line.count("may not use") for line in service.whole_log.splitlines()].count(1) == len(missing)
        assert all(f"may not use {right};" in service.whole_log for right in missing)


def test_a_redis_with_its_most_clients_is_left_by_no_process(lonely: Cluster) -> None:
    """No new connection can be opened; those that are open go on, and one line says so."""
    with lonely.valkey.client() as redis, StreamClient(lonely.a.port, "room") as subscriber:
        assert lonely.publish("room", "before").text == "ok\n"
        redis.config_set("maxclients", redis.info("clients")["connected_clients"])
        until(lambda: "takes no new connection" in lonely.a.whole_log, SEEN)
        time.sleep(5)  # another probe
        assert lonely.a.ready
        redis.publish("comet:room", "plain")
        assert [subscriber.receive(), subscriber.receive()] == ["before", "plain"]
        redis.config_set("maxclients", 100)
    until(lambda: "redis takes new connections again" in lonely.a.whole_log, SEEN)
    until(lambda: all(service.ready for service in lonely.services), SEEN)
    assert "redis is down" not in lonely.a.whole_log
