"""Thousands of tokens that expire at once: all connections are told and ended in time, and others wait for nothing."""

import time
from collections.abc import Iterator
from functools import partial

import jwt
import pytest

from bench.clients.comeback import running_comeback
from bench.clients.latency import receiving
from bench.clients.publishing import publishing_to_redis
from bench.clients.ticker import Ticker
from tests.cluster.bystander import NOISY
from tests.cluster.clients import StreamClient
from tests.cluster.processes import Cluster
from tests.cluster.running import running
from tests.cluster.waiting import until
from tests.faults.numbers import Record, note

pytestmark = pytest.mark.system

SECRET = "a secret of thirty-two bytes or more"
COUNT = 10_000
TO_CONNECT = 20.0  # seconds that all of them have for that
IN_TIME = 5.0  # seconds after the end of the tokens
P99_MS = 20.0  # by how much a message to another subscriber may be late meanwhile
OTHERS = 20


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return a cluster whose channels need tokens, but for `news`."""
    settings = {"COMET_TOKEN_KEY": SECRET, "COMET_TOKEN_LEEWAY": "0", "COMET_PUBLIC_CHANNELS": "news"}
    with running(Cluster(tmp_path_factory.mktemp("cluster"), edges="a", **settings)) as cluster:
        yield cluster


def test_10000_that_expire_at_once_are_ended_in_time(cluster: Cluster, record_property: Record) -> None:
    """A few at a time; a channel that needs no token goes on at its pace."""
    edge, ends = cluster.a, time.time() + TO_CONNECT
    token = jwt.encode({"exp": ends, "channels": ["room"]}, SECRET, "HS256")
    with (
        running_comeback(edge.port, seconds=60) as crowd,
        receiving(edge.port) as others,
        StreamClient(edge.port, "room", token=token) as one,
    ):
        others.open(OTHERS, "news")
        crowd.connect(COUNT)
        crowd.come_back(f"/stream?id=room&token={token}")
        until(lambda: edge.metric('comet_connections{transport="stream"}') == COUNT + 1, TO_CONNECT)
        ticker = Ticker(partial(publishing_to_redis, cluster.valkey.url, plain=False), "news", 0.01, size=104)
        ticker.start()
        until(lambda: time.time() >= ends, TO_CONNECT)
        others.reset()
        crowd.read(1)  # until all have had the end of their connections
        took = time.time() - ends
        ticker.stop()
        late = others.report()
        note(record_property, ended_s=round(took, 2), messages=late.messages, p99_ms=late.p99, last_ms=late.last)
        error = one.next_object()
    assert (error["type"], error["code"]) == ("error", 401)
    assert edge.metric('comet_connections_closed_total{reason="token",transport="stream"}') == COUNT + 1
    assert took <= IN_TIME
    assert late.messages >= OTHERS
    assert late.p99 <= NOISY * P99_MS
