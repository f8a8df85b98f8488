"""How to reach Redis: a redis-py client for commands, an endpoint for our own subscribe connection."""

import ssl
from typing import Any, NamedTuple

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.connection import HiredisRespSerializer

from common.errors import SettingsError

CONNECT_TIMEOUT = 1.0
COMMAND_TIMEOUT = 1.0  # "Redis down" must become a 503 within a second


class Endpoint(NamedTuple):
    """Where one Redis server listens, and who we are there."""

    host: str
    port: int
    path: str
    tls: ssl.SSLContext | None
    username: str
    password: str

    def __str__(self) -> str:
        return self.path or f"{self.host}:{self.port}"


class PackedByHiredis(AbstractConnection):
    """A connection whose commands are packed by hiredis; redis-py does that for its blocking clients only."""

    _packer = HiredisRespSerializer()

    def pack_command(self, *args: Any) -> list[bytes]:
        """Return the bytes of one command."""
        return self._packer.pack(*args)  # type: ignore[no-any-return]


def connect(url: str) -> Redis:
    """Return a redis-py client; it connects at its first command and never retries by itself.

    Raises `SettingsError` if the URL carries an option that redis-py cannot read.
    """
    try:
        client: Redis = Redis.from_url(
            url,
            socket_connect_timeout=CONNECT_TIMEOUT,
            socket_timeout=COMMAND_TIMEOUT,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )
    except ValueError as error:
        raise SettingsError(f"COMET_REDIS_URL: {error}") from None
    pool = client.connection_pool
    pool.connection_class = type("Connection", (PackedByHiredis, pool.connection_class), {})
    return client


def endpoint(url: str) -> Endpoint:
    """Return where the subscribe connection of this URL goes."""
    parts = parse_url(url)
    return Endpoint(
        host=parts.get("host", "localhost"),
        port=int(parts.get("port", 6379)),
        path=parts.get("path", ""),
        tls=ssl.create_default_context() if url.startswith("rediss:") else None,
        username=parts.get("username") or "",
        password=parts.get("password") or "",
    )
