"""A whole edge in this process: its readiness, its figures, its ports, and its goodbye."""

import json

import pytest
from aiohttp import ClientSession
from structlog.testing import capture_logs

from common.errors import SettingsError
from common.settings import load_settings
from edge.app import Edge
from tests.edge.real_edges import running, subscribers, until

NO_REDIS = "redis://127.0.0.1:1"


def unconnected(**settings: object) -> Edge:
    """Return an edge that was not started, and that finds no Redis when it is."""
    ports: dict[str, object] = {"edge_host": "127.0.0.1", "edge_port": 0, "edge_admin_port": 0}
    return Edge(load_settings(redis_url=NO_REDIS, **ports | settings))


async def asked(edge: Edge, path: str) -> tuple[int, str]:
    """Ask on the internal port; return the status and the body."""
    async with ClientSession() as session, session.get(f"http://127.0.0.1:{edge.admin_port}{path}") as answer:
        return answer.status, await answer.text()


async def test_an_edge_is_ready_when_a_newcomer_would_be_seated(valkey_url: str, prefix: str) -> None:
    """Redis delivers, there is room, and no drain was begun; the figures say how much room."""
    async with running(valkey_url, prefix, count=1, max_connections=7) as (edge,):
        await until(lambda: edge._redis.pubsub.ready)
        status, body = await asked(edge, "/readyz")
        assert status == 200
        assert json.loads(body)["room"] == {"ok": True, "connections": 0, "limit": 7}


async def test_an_edge_without_redis_is_alive_and_not_ready() -> None:
    """It listens on both ports, and says which condition is not met."""
    edge = unconnected()
    await edge.start()
    try:
        assert edge.port
        assert (await asked(edge, "/healthz"))[0] == 200
        status, body = await asked(edge, "/readyz")
        checks = json.loads(body)
        assert (status, checks["redis"]["ok"], checks["drain"]["ok"], checks["room"]["ok"]) == (503, False, True, True)
    finally:
        await edge.stop()
    assert edge.admin_port == 0


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Host": "evil.test", "Sec-Fetch-Site": "same-origin"}, 421),
    ],
)
async def test_pages_do_not_drain_an_edge(headers: dict[str, str], status: int) -> None:
    """Neither a page of another origin, nor one whose name leads to the internal port; each try is counted."""
    edge = unconnected()
    await edge.start()
    try:
        async with ClientSession() as session:
            url = f"http://127.0.0.1:{edge.admin_port}/drain"
            async with session.post(url, headers=headers) as answer:
                assert (answer.status, (await answer.json())["code"]) == (status, status)
        assert not edge._drain.has_begun
        _, text = await asked(edge, "/metrics")
        assert f'comet_foreign_requests_total{{code="{status}"}} 1.0' in text
    finally:
        await edge.stop()


async def test_what_an_edge_holds_is_shown_to_prometheus(valkey_url: str, prefix: str) -> None:
    """Gauges are looked up at each scrape: connections by transport, channels, and subscribers in channels."""
    async with running(valkey_url, prefix, count=1, max_connections=7) as (edge,), subscribers() as subscribe:
        await subscribe(edge, "id=room&id=lobby", 2)
        await subscribe(edge, "id=room")
        _, text = await asked(edge, "/metrics")
    for line in (
        'comet_connections{transport="stream"} 2.0',
        'comet_connections{transport="ws"} 0.0',
        "comet_connections_limit 7.0",
        "comet_channels 2.0",
        "comet_subscriptions 3.0",
        "comet_draining 0.0",
    ):
        assert line in text


async def test_an_edge_that_stops_says_goodbye(valkey_url: str, prefix: str) -> None:
    """A held stream is told and ended, and its connection is counted as drained."""
    async with subscribers() as subscribe:
        async with running(valkey_url, prefix, count=1) as (edge,):
            subscriber = await subscribe(edge, "id=room")
        assert b'"type":"close"' in await subscriber.rest()
    assert edge._counters.closed_total["stream", "drain"] == 1


async def test_an_edge_that_cannot_listen_says_which_setting_to_change(valkey_url: str, prefix: str) -> None:
    """A second edge on the same port does not start, and leaves nothing behind."""
    async with running(valkey_url, prefix, count=1) as (edge,):
        for name, port in (("edge_port", edge.port), ("edge_admin_port", edge.admin_port)):
            with pytest.raises(SettingsError, match=f"COMET_{name.upper()}={port}"):
                await unconnected(**{name: port}).start()


async def test_more_connections_than_open_files_are_not_promised() -> None:
    """The limit is what the process may open, and the log says so."""
    with capture_logs() as lines:
        edge = unconnected(max_connections=10_000_000)
    assert 0 < edge._max_connections < 10_000_000
    assert [line["event"] for line in lines] == ["COMET_MAX_CONNECTIONS is more than the open files allow"]
    await edge.stop()
