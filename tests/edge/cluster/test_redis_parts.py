"""What an edge has of Redis, on a real Valkey."""

from contextlib import AsyncExitStack

from common.settings import load_settings
from edge.cluster.redis_parts import RedisParts
from edge.counters import Counters
from edge.state import Seat
from tests.edge.seats_on_sockets import SeatsOnSockets


async def test_what_one_edge_stores_another_finds(valkey_url: str, prefix: str, sockets: SeatsOnSockets) -> None:
    """The parts use one connection, and names that begin as the settings say; the names of cursors are for any edge."""
    settings = load_settings(redis_url=valkey_url, prefix=prefix, history_ttl=1)
    async with AsyncExitStack() as ending:
        one, two = (RedisParts(name, settings, sockets.seats, Counters()) for name in ("one", "two"))
        ending.push_async_callback(two.aclose)
        ending.push_async_callback(one.aclose)
        stored = await one.name_lists.store(("a", "b"), Seat(7))
        found = await two.name_lists.find(stored.digest)
        assert found is not None
        assert found.names == ("a", "b", "~one"), "and whose it is"
        (key,) = [key async for key in two.redis.scan_iter(f"{prefix}*")]
        assert await one.redis.ttl(key) >= 300, "the names live for minutes, however short the history is"
        await one.finish()


async def test_a_reply_is_published_by_the_edges_own_connection(
    valkey_url: str, prefix: str, sockets: SeatsOnSockets
) -> None:
    """Several in one go."""
    settings = load_settings(redis_url=valkey_url, prefix=prefix)
    parts = RedisParts("edge", settings, sockets.seats, Counters())
    async with AsyncExitStack() as ending:
        ending.push_async_callback(parts.aclose)
        listening = parts.redis.pubsub()
        ending.push_async_callback(listening.aclose)
        await listening.subscribe(parts.names.channel("room"))
        assert await listening.get_message(timeout=5)
        await parts._publish_all([(parts.names.channel("room"), b"hi"), (parts.names.channel("room"), b"ho")])
        got = [await listening.get_message(timeout=5) for _ in range(2)]
        assert [each and each["data"] for each in got] == [b"hi", b"ho"]
