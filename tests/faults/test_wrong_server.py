"""Connections to Redis that stay open and lead astray: a demotion, an isolation, a moved address, a forgetful NAT."""

import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.cluster.clients import Answer, StreamClient, get
from tests.cluster.processes import HOST, Cluster, Process, free_ports
from tests.cluster.waiting import until
from tests.faults.pair import (
    SEEN,
    Pair,
    RedisBackend,
    are_red,
    hand_over,
    has,
    is_heard_at,
    lead,
    publish_at,
    readiness,
    reasons,
    timed,
    were_red,
    why_not,
)
from tests.faults.proxy import Proxy
from tests.faults.trial import Trial

pytestmark = pytest.mark.system

NEVER = 12.0  # seconds of quiet after which a NAT has forgotten a connection
ELSEWHERE = "new connections reach a server that does not know the subscribe connection"


def test_a_demoted_server_makes_all_not_ready_until_it_leads_again(pair: Pair) -> None:
    """Row 1: nothing is cut; readiness names the replica, a publish gets its 503, and the missed message arrives."""
    cluster = pair.cluster
    with StreamClient(cluster.a.port, "room") as subscriber:
        assert cluster.publish("room", "before").status == 200
        assert subscriber.receive() == "before"
        pair.swap()
        until(lambda: are_red(cluster.services, "READONLY"), SEEN)
        answer, took = timed(lambda: cluster.publish("room", "refused"))
        assert (answer.status, took < 1.0) == (503, True)
        newcomer = get(cluster.a.port, "/poll", id="another")
        assert newcomer.status == 503
        assert newcomer.json["content"].startswith("Redis did not let this edge join the channels within 3 seconds")
        publish_at(pair.b, "room", "missed")
        until(lambda: has(pair.a, "room", 2))

        lead(pair.a)
        until(lambda: all(service.ready for service in cluster.services), SEEN)
        assert subscriber.receive() == "missed"
        assert cluster.publish("room", "after").text == "ok\n"
        assert subscriber.receive() == "after"
    for service in cluster.services:
        assert service.whole_log.count("READONLY") <= 3, service.whole_log
        assert len(reasons(service)) == 1


def test_an_isolated_primary_is_left_for_the_replica_that_leads(pair: Pair, proxy: Proxy) -> None:
    """The old one answers no more on open connections; new ones reach the replica, which leads some time later."""
    cluster = pair.cluster
    with StreamClient(cluster.a.port, "room") as subscriber:
        assert cluster.publish("room", "before").status == 200
        assert subscriber.receive() == "before"
        until(lambda: has(pair.b, "room", 1))
        proxy.target = pair.b.port
        assert proxy.forget(rest=0) >= 2
        until(lambda: are_red(cluster.services, "READONLY"), SEEN)

        lead(pair.b)
        publish_at(pair.b, "room", "missed")
        until(lambda: all(service.ready for service in cluster.services), SEEN)
        assert subscriber.receive() == "missed"
        assert cluster.publish("room", "after").text == "ok\n"
        assert subscriber.receive() == "after"
    for service in cluster.services:
        assert len(reasons(service)) <= 2, service.whole_log


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
    cluster = pair.cluster
    before = [len(reasons(service)) for service in cluster.services]  # HAProxy begins without a check
    with StreamClient(cluster.a.port, "room") as subscriber, ThreadPoolExecutor(1) as thread:
        pair.swap()
        began = time.monotonic()
        thread.submit(cluster.publish, "room", "too early")  # it finds the demoted server
        until(lambda: why_not(cluster.publisher), SEEN)
        until(lambda: cluster.publish("room", "on the new one").text == "ok\n", SEEN)
        until(lambda: is_heard_at(pair.b, "room"), SEEN)
        until(lambda: all(service.ready for service in cluster.services), SEEN)
        assert time.monotonic() - began < SEEN
        until(lambda: subscriber.receive() == "on the new one")
    for service, count in zip(cluster.services, before, strict=True):
        told = reasons(service)[count:]
        assert len(set(told)) == len(told) <= 3, service.whole_log


def test_a_moved_address_is_noticed_though_the_old_server_takes_everything(pair: Pair, proxy: Proxy) -> None:
    """Row 3: the old server does not know that it was left; what is published on the new one arrives all the same."""
    cluster = pair.cluster
    with StreamClient(cluster.a.port, "room") as subscriber:
        lead(pair.b)
        proxy.delay = 0.3  # so that readiness can be seen to go
        proxy.target = pair.b.port
        moved = time.monotonic()
        publish_at(pair.b, "room", "on the new server")
        until(were_red(cluster.services, ELSEWHERE), SEEN)
        assert subscriber.receive() == "on the new server"
        assert time.monotonic() - moved < SEEN
        until(lambda: cluster.publish("room", "by the publisher").text == "ok\n", SEEN)
        until(lambda: all(service.ready for service in cluster.services), SEEN)
        assert subscriber.receive() == "by the publisher"
    for service in cluster.services:
        assert len(reasons(service)) == 1
        assert ELSEWHERE in reasons(service)[0]


def test_connections_that_a_nat_forgot_cost_no_request(pair: Pair, proxy: Proxy) -> None:
    """Row 4: after a burst and some quiet the idle connections lead nowhere; no publish and no newcomer notices."""
    cluster = pair.cluster
    before = proxy.connections
    proxy.freeze()  # a pipeline that finds every connection taken opens one more
    with ThreadPoolExecutor(1) as thread:
        opened = thread.submit(burst, cluster)
        until(lambda: proxy.connections >= before + 3)
        proxy.thaw()
        opened.result()
    time.sleep(NEVER)
    assert proxy.forget(rest=NEVER - 1) >= 2
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


def test_two_swaps_within_a_second_leave_everything_whole(pair: Pair, proxy: Proxy) -> None:
    """A role that comes and goes while backends publish by both protocols: no subscriber misses anything silently."""
    cluster = pair.cluster
    with Trial(cluster) as trial:
        trial.follow("room", transports=("stream", "sse", "poll"), edges="a")
        with trial.writing(), RedisBackend(proxy, "room", trial.ledger) as backend:
            until(lambda: backend.acknowledged >= 20)
            for old, new in ((pair.a, pair.b), (pair.b, pair.a)):
                hand_over(old, new)
                proxy.target = new.port
                time.sleep(0.4)  # a duration: between two swaps
            before, count = backend.acknowledged, trial.ledger.count
            until(lambda: backend.acknowledged > before + 20 and trial.ledger.count > count + 50, SEEN)
        until(lambda: all(service.ready for service in cluster.services), SEEN)
        trial.finish()
        assert reasons(cluster.publisher), "the publisher noticed nothing"
        for service in cluster.services:
            assert len(reasons(service)) <= 2, service.whole_log


def test_a_proxy_that_accepts_and_never_answers_is_one_line(pair: Pair, proxy: Proxy) -> None:
    """The line says what was waited for; publishing gets its 503 in time; all recover with the proxy."""
    cluster = pair.cluster
    proxy.freeze()
    until(lambda: not any(service.ready for service in cluster.services), SEEN)
    answer, took = timed(lambda: cluster.publish("room", "refused"))
    assert (answer.status, took < 1.0) == (503, True)
    until(lambda: "did not answer" in readiness(cluster.a)["redis"].get("error", ""), SEEN)
    used = cluster.a.cpu_seconds
    time.sleep(2)  # a duration: in which it could spin
    assert cluster.a.cpu_seconds - used < 0.4
    proxy.thaw()
    until(lambda: all(service.ready for service in cluster.services), SEEN)
    assert len(reasons(cluster.a)) == 1
