"""Publishes that go out together while their connections to Redis break, stall or freeze: each answer is true."""

import http.client
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.cluster.clients import Answer
from tests.cluster.processes import HOST, Cluster, Valkey, free_ports
from tests.cluster.running import running
from tests.cluster.waiting import until
from tests.faults.proxy import Proxy

pytestmark = pytest.mark.system

CLIENTS, REQUESTS, ARRAY = 16, 60, 10
IN_TIME = 1.5  # seconds: one, and what a loaded machine adds
LOG = "{comet:room}:log"


class Given(NamedTuple):
    """One message and what its publisher was told: its position, or nothing if that is not known."""

    content: str
    seq: str | None


@pytest.fixture
def valkey(tmp_path: Path) -> Valkey:
    """Return a Redis that a cluster starts."""
    return Valkey(free_ports(1)[0], tmp_path)


@pytest.fixture
def proxy(valkey: Valkey, proxy_to: Callable[[int], Proxy]) -> Proxy:
    """Return a proxy that only the publisher uses."""
    return proxy_to(valkey.port)


@pytest.fixture
def cluster(stack: ExitStack, tmp_path: Path, valkey: Valkey, proxy: Proxy) -> Cluster:
    """Return a cluster whose publisher is behind the proxy."""
    it = Cluster(tmp_path, edges="a", valkey=valkey, publisher_redis=proxy.url, COMET_HISTORY_SIZE="20000")
    return stack.enter_context(running(it))


def publish_often(port: int, client: int) -> list[Given]:
    """Publish one request after the other, messages alone and arrays in turn; each 503 must come in time."""
    given: list[Given] = []
    connection = http.client.HTTPConnection(HOST, port, timeout=10)
    for number in range(REQUESTS):
        contents = [f"{client}.{number}.{part}" for part in range(ARRAY if number % 2 else 1)]
        messages = [{"id": "room", "content": content} for content in contents]
        answers = ask(connection, messages if number % 2 else messages[0])
        given += [Given(content, seq) for content, seq in zip(contents, answers, strict=True)]
    connection.close()
    return given


def ask(connection: http.client.HTTPConnection, body: Any) -> list[str | None]:
    """Publish, and return the position of each message, or None where a 503 says that it is not known."""
    began = time.monotonic()
    connection.request("POST", "/pub", json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    value = json.loads(answer.read())
    assert time.monotonic() - began < IN_TIME
    if answer.status == 503:
        assert answer.headers["Retry-After"] == "1"
        assert value["content"].startswith("redis does not take the message now")
        return [None] * (len(body) if isinstance(body, list) else 1)
    assert answer.status == 200, value
    results = value if isinstance(body, list) else [value]
    assert all("seq" in result or result["code"] == 503 for result in results), results
    return [result.get("seq") for result in results]


def test_connections_that_break_in_the_middle_leave_every_answer_true(
    cluster: Cluster, valkey: Valkey, proxy: Proxy
) -> None:
    """What has a position is stored there, nothing is stored twice, and each client's messages are in its order."""
    proxy.swallow = 0.03
    with ThreadPoolExecutor(CLIENTS) as threads:
        given = list(threads.map(lambda client: publish_often(cluster.publisher.port, client), range(CLIENTS)))
    proxy.swallow = 0.0
    assert proxy.swallowed > 0
    with valkey.client() as redis:
        stored = {fields["d"]: seq for seq, fields in redis.xrange(LOG)}
        assert len(stored) == redis.xlen(LOG), "a message is stored twice"
    assert sum(one.seq is None for own in given for one in own) > 0
    for own in given:
        assert [one for one in own if one.seq and stored[one.content] != one.seq] == []
        places = [place(stored[one.content]) for one in own if one.content in stored]
        assert places == sorted(places)
    until(lambda: cluster.publisher.ready)
    assert cluster.publish("room", "after").status == 404


def place(seq: str) -> int:
    """Return the number of a message in its channel."""
    return int(seq.partition("-")[0])


def publish_at_once(cluster: Cluster, count: int) -> tuple[list[Answer], float]:
    """Publish over many connections at the same time; return the answers and the seconds of the slowest."""
    took: list[float] = []

    def publish(number: int) -> Answer:
        began = time.monotonic()
        answer = cluster.publish("room", str(number))
        took.append(time.monotonic() - began)
        return answer

    with ThreadPoolExecutor(count) as threads:
        answers = list(threads.map(publish, range(count)))
    return answers, max(took)


def test_a_stall_that_is_over_in_time_costs_no_message(cluster: Cluster, valkey: Valkey, proxy: Proxy) -> None:
    """Those in the first pipelines and those that wait behind it are all stored, once."""
    assert cluster.publish("room", "before").status == 404
    with ThreadPoolExecutor(1) as thread:
        proxy.freeze()
        answers = thread.submit(publish_at_once, cluster, 40)
        time.sleep(0.4)  # a duration: the stall
        proxy.thaw()
        assert {answer.status for answer in answers.result()[0]} == {404}
    with valkey.client() as redis:
        contents = sorted(fields["d"] for _, fields in redis.xrange(LOG))
    assert contents == sorted(["before", *map(str, range(40))])


def test_a_redis_that_freezes_gives_everybody_a_503_in_time(cluster: Cluster, proxy: Proxy) -> None:
    """Also those that came while pipelines were under way; afterwards all is well."""
    assert cluster.publish("room", "before").status == 404
    proxy.freeze()
    answers, slowest = publish_at_once(cluster, 40)
    proxy.thaw()
    assert {answer.status for answer in answers} == {503}
    assert slowest < IN_TIME
    until(lambda: cluster.publish("room", "after").status == 404)
    until(lambda: cluster.publisher.ready)


def test_one_connection_that_leads_nowhere_holds_nobody_up(cluster: Cluster, proxy: Proxy) -> None:
    """A NAT that forgot it while it was in use: those in it get their 503, those that come next their answer."""
    assert cluster.publish("room", "before").status == 404
    proxy.forget(rest=0.0)
    with ThreadPoolExecutor(1) as thread:
        lost = thread.submit(cluster.publish, "room", "lost")
        time.sleep(0.2)  # a duration: the first is under way
        began = time.monotonic()
        assert cluster.publish("room", "beside").status == 404
        assert time.monotonic() - began < 0.5
        assert lost.result().status == 503
