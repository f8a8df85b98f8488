"""How to reach Redis: a redis-py client for commands, an endpoint for the subscribe connection."""

import os
import socket
import ssl
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

from redis import RedisError
from redis.asyncio import Redis
from redis.asyncio.connection import Connection as TcpConnection
from redis.asyncio.connection import SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from common.errors import SettingsError
from common.redis.answers import Parser, expect_kinds
from common.redis.pool import Pool, PooledConnection
from common.url import masked

TLS_FILES = ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile")
CONNECT_TIMEOUT = 1.0
COMMAND_TIMEOUT = 1.0  # a request must be answered with 503 within a second when Redis is down
USER_TIMEOUT_MS = 5000  # until the kernel gives up a connection whose bytes are not acknowledged
_KEEPALIVE = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": USER_TIMEOUT_MS}
KEEPALIVE = {getattr(socket, name): value for name, value in _KEEPALIVE.items() if hasattr(socket, name)}


class Endpoint(NamedTuple):
    """Where one Redis server listens, and the user and password for it."""

    host: str
    port: int
    path: str
    tls: ssl.SSLContext | None
    username: str
    password: str

    def __str__(self) -> str:
        return self.path or f"{self.host}:{self.port}"


def connect(url: str) -> Redis:
    """Return a redis-py client, which connects at its first command, never retries, and trusts no odd answer."""
    pool = Pool.from_url(
        url,
        socket_connect_timeout=CONNECT_TIMEOUT,
        socket_timeout=COMMAND_TIMEOUT,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
        parser_class=Parser,
    )
    if issubclass(pool.connection_class, TcpConnection):
        pool.connection_kwargs |= {"socket_keepalive": True, "socket_keepalive_options": KEEPALIVE}
    pool.connection_class = type("Connection", (PooledConnection, pool.connection_class), {})
    client = Redis.from_pool(pool)
    expect_kinds(client)
    return client


def pool_of(client: Redis) -> Pool:
    """Return the pool of a client that `connect` made."""
    return cast(Pool, client.connection_pool)


def database(url: str) -> int:
    """Return the number of the database of a URL."""
    return int(parse_url(url).get("db", 0))


def endpoint(url: str) -> Endpoint:
    """Return where the subscribe connection of a URL goes.

    Raises `SettingsError` if the files that the URL names for TLS cannot be used.
    """
    parts = parse_url(url)
    try:
        tls = _tls_context(parts) if parts.get("connection_class") is SSLConnection else None
    except (OSError, RedisError, ValueError) as error:
        raise SettingsError(f"COMET_REDIS_URL={masked(url)!r}: {error}") from None
    return Endpoint(
        host=parts.get("host", "localhost"),
        port=int(parts.get("port", 6379)),
        path=parts.get("path", ""),
        tls=tls,
        username=parts.get("username") or "",
        password=parts.get("password") or "",
    )


def _tls_context(parts: Mapping[str, Any]) -> ssl.SSLContext:
    """Return the context that redis-py makes of the options of a URL; raises OSError, RedisError or ValueError."""
    for name in TLS_FILES:
        if name in parts and not os.access(parts[name], os.R_OK):
            raise ValueError(f"{name} must name a file that this process can read")
    if "ssl_keyfile" in parts and "ssl_certfile" not in parts:
        raise ValueError("ssl_keyfile is of no use without ssl_certfile")
    options = {name: value for name, value in parts.items() if name.startswith("ssl_")}
    try:
        return SSLConnection(**options).ssl_context.get()
    except ssl.SSLError as error:
        given = ", ".join(name for name in TLS_FILES if name in parts)
        raise ValueError(f"{given} cannot be used: {error.reason or error}") from None
