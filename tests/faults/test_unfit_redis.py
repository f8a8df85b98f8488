"""A Redis that answers, and not as the work needs it: full, loading, without its primary, with rights missing."""

import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.cluster.clients import StreamClient, get
from tests.cluster.processes import HOST, Cluster, Process, Valkey, free_ports
from tests.cluster.running import running
from tests.cluster.waiting import until
from tests.faults.pair import DOWN, SEEN, UNUSABLE, are_red, lead, readiness, reasons, timed

pytestmark = pytest.mark.system

PROBES = "comet_redis_probe_seconds_count"


def until_probed_again(cluster: Cluster) -> None:
    """Wait until every process has probed Redis twice more: what it says then was found out after this call."""
    before = {service: service.metric(PROBES) for service in cluster.services}
    until(lambda: all(service.metric(PROBES) >= probes + 2 for service, probes in before.items()), 3 * SEEN)


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
    until_probed_again(cluster)
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
        until_probed_again(lonely)
        assert lonely.a.ready
        redis.publish("comet:room", "plain")
        assert [subscriber.receive(), subscriber.receive()] == ["before", "plain"]
        redis.config_set("maxclients", 100)
    until(lambda: "redis takes new connections again" in lonely.a.whole_log, SEEN)
    until(lambda: all(service.ready for service in lonely.services), SEEN)
    assert reasons(lonely.a) == []


def test_a_disk_that_fails_is_told_and_takes_no_process_out(stack: ExitStack, tmp_path: Path) -> None:
    """MISCONF: Redis could not save its data, and so takes no write."""
    gone = tmp_path / "gone"
    gone.mkdir()
    valkey = Valkey(free_ports(1)[0], tmp_path, "--dir", str(gone))
    cluster = stack.enter_context(running(Cluster(tmp_path, edges="a", valkey=valkey)))
    with valkey.client() as redis:
        gone.rmdir()
        redis.config_set("save", "1 1")
        redis.set("a", "b")
        until(lambda: redis.info("persistence")["rdb_last_bgsave_status"] == "err")
    until(lambda: all("writes" in readiness(service) for service in cluster.services), SEEN)
    for service in cluster.services:
        said = readiness(service)
        assert (said["ready"], said["writes"]["ok"], said["writes"]["error"][:7]) == (True, False, "MISCONF")
    answer, took = timed(lambda: cluster.publish("room", "refused"))
    assert (answer.status, took < 1.0) == (503, True)
    with valkey.client() as redis:
        redis.config_set("save", "")
    until(lambda: all("writes" not in readiness(service) for service in cluster.services), SEEN)


def test_a_redis_that_loads_its_data_is_told_until_it_has_them(lonely: Cluster) -> None:
    """LOADING is an answer: not ready, with Redis' own word, and whole again once the data are there."""
    with lonely.valkey.client() as redis:
        pipe = redis.pipeline(transaction=False)
        for number in range(2000):
            pipe.set(f"filling {number}", "x" * 100)
        pipe.execute()
        redis.save()
    lonely.valkey.kill()
    lonely.valkey._command += ["--key-load-delay", "20000", "--loading-process-events-interval-bytes", "1024"]
    Process.start(lonely.valkey)
    until(lambda: are_red(lonely.services, "LOADING"), SEEN)
    assert lonely.publish("room", "refused").status == 503
    with lonely.valkey.client() as redis:
        redis.config_set("key-load-delay", 0)
    until(lambda: all(service.ready for service in lonely.services), SEEN)
    for service in lonely.services:
        told = "".join(reasons(service))
        assert (told.count(DOWN), told.count(UNUSABLE), told.count("LOADING")) == (1, 1, 1), service.whole_log


def test_a_replica_without_its_primary_is_told(lonely: Cluster) -> None:
    """MASTERDOWN, which a replica says that takes writes of its own; one that takes none says READONLY first."""
    with lonely.valkey.client() as redis:
        redis.config_set("replica-read-only", "no")
        redis.config_set("replica-serve-stale-data", "no")
        redis.replicaof(HOST, free_ports(1)[0])
        until(lambda: are_red(lonely.services, "MASTERDOWN"), SEEN)
        answer, took = timed(lambda: lonely.publish("room", "refused"))
        assert (answer.status, took < 1.0) == (503, True)
        redis.replicaof("NO", "ONE")
    until(lambda: all(service.ready for service in lonely.services), SEEN)
    assert [len(reasons(service)) for service in lonely.services] == [1, 1]


def test_a_deployment_without_keys_needs_no_right_to_any(stack: ExitStack, tmp_path: Path) -> None:
    """With COMET_HISTORY_SIZE=0 and an ACL without keys: one warning for a right; with ROLE a demotion is noticed."""
    valkey = Valkey(free_ports(1)[0], tmp_path)
    valkey.start()
    user = ["ACL", "SETUSER", "comet", "on", ">pw", "+@all", "allchannels", "resetkeys"]
    url = f"redis://comet:pw@{HOST}:{valkey.port}"
    cluster = Cluster(tmp_path, edges="a", valkey=valkey, edge_redis=url, publisher_redis=url, COMET_HISTORY_SIZE="0")
    stack.callback(cluster.stop)
    with valkey.client() as redis:
        redis.execute_command(*user, "-role")
        cluster.start_services()
        cluster.wait_ready()
        with StreamClient(cluster.a.port, "room") as subscriber:
            assert cluster.publish("room", "hi").text == "ok\n"
            assert subscriber.receive() == "hi"
        redis.execute_command(*user, "+role")
        redis.replicaof(HOST, free_ports(1)[0])
        until(lambda: are_red(cluster.services, "READONLY its ROLE is slave"), SEEN)
    lead(valkey)
    until(lambda: all(service.ready for service in cluster.services), SEEN)
    for service in cluster.services:
        log = service.whole_log
        assert [log.count(f"may not use {right};") for right in ("SET on the key comet:!probe:*", "ROLE")] == [1, 1]
        assert len(reasons(service)) == 1, log


RESOLVER = """\
import socket
import sys

sys.modules["uvloop"] = None  # it has a resolver of its own
getaddrinfo = socket.getaddrinfo


def resolve(host, port, *arguments, **options):
    hosts = ("127.0.0.9", "127.0.0.1") if host == "redis.test" else (host,)
    return [one for host in hosts for one in getaddrinfo(host, port, *arguments, **options)]


socket.getaddrinfo = resolve
"""


def test_a_name_whose_first_address_is_dead_costs_nothing(stack: ExitStack, tmp_path: Path) -> None:
    """It swallows everything; both processes are ready in time, stay so, and publish."""
    (tmp_path / "sitecustomize.py").write_text(RESOLVER)
    valkey = Valkey(free_ports(1)[0], tmp_path)
    deaf = stack.enter_context(socket.create_server(("127.0.0.9", valkey.port), backlog=0))
    for _ in range(2):  # its queue is full: the kernel answers no further SYN
        filler = stack.enter_context(socket.socket())
        filler.setblocking(False)
        filler.connect_ex(deaf.getsockname())
    url = f"redis://redis.test:{valkey.port}"
    cluster = Cluster(tmp_path, edges="a", valkey=valkey, edge_redis=url, publisher_redis=url, PYTHONPATH=str(tmp_path))
    stack.enter_context(running(cluster))
    with StreamClient(cluster.a.port, "room") as subscriber:
        answer, took = timed(lambda: cluster.publish("room", "hi"))
        assert (answer.text, took < 1.0) == ("ok\n", True)
        assert subscriber.receive() == "hi"
    until_probed_again(cluster)
    assert all(service.ready for service in cluster.services)
    assert [reasons(service) for service in cluster.services] == [[], []]
