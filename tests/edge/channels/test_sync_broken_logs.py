"""What others wrote into a channel's keys, on a real Valkey: that channel alone suffers, and not for long."""

from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest
from redis.asyncio import Redis

from common.names import RedisNames
from common.redis.client import connect
from common.scripts.calls import script_text
from edge.app import Edge
from tests.edge.real_edges import running, subscribers


@pytest.fixture
async def edge(valkey_url: str, prefix: str) -> AsyncIterator[Edge]:
    """Yield an edge on a real Valkey."""
    async with running(valkey_url, prefix, count=1) as (edge,):
        yield edge


@pytest.fixture
async def redis(valkey_url: str) -> AsyncIterator[Redis]:
    """Yield a client of that Valkey."""
    async with connect(valkey_url) as client:
        yield client


@pytest.fixture
def names(prefix: str) -> RedisNames:
    """Return the names of that deployment."""
    return RedisNames(prefix)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send subscribers away, and try broken channels again, sooner than usual."""
    monkeypatch.setattr("edge.subscribers.lifecycle.ATTACH_TIMEOUT", 0.7)
    monkeypatch.setattr("edge.channels.sync.MAX_RETRY_PAUSE", 0.1)


async def publish(redis: Redis, name: bytes, *arguments: str | bytes) -> str:
    """Publish as a backend does that runs the text with EVAL; return the position."""
    seq, _ = await redis.eval(script_text("publish"), 1, name, *arguments)  # type: ignore[misc]
    return seq.decode()  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "options",
    [("expires", "1795540228796.5"), ("expires", "tomorrow"), ("expires", ""), ("event", b"caf\xe9")],
    ids=["a fraction", "a word", "nothing", "an event that is not UTF-8"],
)
async def test_an_odd_option_keeps_no_subscriber_out(
    edge: Edge, redis: Redis, names: RedisNames, options: tuple[str | bytes, ...]
) -> None:
    """A subscriber that reads such a message from the log gets it like any other, and so does one that comes later."""
    name = names.channel("stuck")
    async with subscribers() as subscribe:
        await publish(redis, name, "one")
        await publish(redis, name, "two", *options)
        for _ in range(2):
            reader = await subscribe(edge, "id=stuck&since=0")
            assert [(await reader.object())["content"] for _ in range(2)] == ["one", "two"]
        await publish(redis, name, "three")
        assert (await reader.object())["content"] == "three"


@pytest.mark.parametrize("fields", [{"p": "1"}, {"d": "x"}, {"?": "x"}, {"p": "x", "d": "x"}], ids=str)
async def test_a_broken_entry_is_a_reset(edge: Edge, redis: Redis, names: RedisNames, fields: dict[str, str]) -> None:
    """A client that would need an entry that was written by hand is reset, and then goes on; none waits."""
    async with subscribers() as subscribe:
        await publish(redis, names.channel("stuck"), "one")
        top = await publish(redis, names.channel("stuck"), "two")
        await redis.delete(names.log("stuck"))
        await redis.xadd(names.log("stuck"), fields, id=top)  # type: ignore[arg-type]
        for since in ("0", "1-1"):
            reader = await subscribe(edge, f"id=stuck&since={since}")
            assert await reader.object() == {"type": "reset", "id": "stuck", "seq": top}
        await publish(redis, names.channel("stuck"), "three")
        assert (await reader.object())["content"] == "three"


@pytest.mark.parametrize("damage", [("SET", "x"), ("HSET", "o", "many", "t", "x")], ids=str)
async def test_a_broken_key_is_its_channels_own_trouble(
    edge: Edge, redis: Redis, names: RedisNames, damage: tuple[str, ...]
) -> None:
    """Its subscribers get 503, all others get in at once; when the key is gone, its own get in, too."""
    command, *values = damage
    await redis.execute_command(command, names.top("broken"), *values)
    async with subscribers() as subscribe:
        refused = await subscribe(edge, "id=broken", welcomes=0)
        alright = [await subscribe(edge, f"id=room{number}") for number in range(3)]
        answer = await refused.rest()
        assert b" 503 " in answer.partition(b"\r\n")[0]
        assert b"Retry-After" in answer
        await publish(redis, names.channel("room0"), "hi")
        assert (await alright[0].object())["content"] == "hi"
        waiting = await subscribe(edge, "id=broken", welcomes=0)
        await redis.delete(names.top("broken"))
        assert (await waiting.object())["type"] == "welcome"
        await publish(redis, names.channel("broken"), "hi")
        assert (await waiting.object())["content"] == "hi"


async def test_a_log_that_is_no_stream_is_a_reset(edge: Edge, redis: Redis, names: RedisNames) -> None:
    """Nothing in it can be proved; a client that wants only what is new is welcome."""
    top = await publish(redis, names.channel("room"), "one")
    await redis.delete(names.log("room"))
    await redis.set(names.log("room"), "x")
    async with subscribers() as subscribe:
        await subscribe(edge, "id=room")
        reader = await subscribe(edge, "id=room&since=1-1")
        assert await reader.object() == {"type": "reset", "id": "room", "seq": top}


async def test_a_channel_that_redis_forbids_is_its_own_trouble(valkey_url: str, prefix: str, redis: Redis) -> None:
    """Where Redis lets the edges touch some channels only, a client that asks for another keeps no other client out."""
    keys = [f"~{prefix}room*", f"~{{{prefix}room*"]
    await redis.execute_command("ACL", "SETUSER", prefix, "on", ">pw", "+@all", "allchannels", *keys)
    url = valkey_url.replace("redis://", f"redis://{quote(prefix)}:pw@")
    async with running(url, prefix, count=1) as (edge,), subscribers() as subscribe:
        forbidden = await subscribe(edge, "id=secret", welcomes=0)
        allowed = [await subscribe(edge, f"id=room{number}") for number in range(3)]
        assert b" 503 " in (await forbidden.rest()).partition(b"\r\n")[0]
        await publish(redis, f"{prefix}room1".encode(), "hi")
        assert (await allowed[1].object())["content"] == "hi"
    await redis.execute_command("ACL", "DELUSER", prefix)
