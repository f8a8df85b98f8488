"""Lists of names in Redis: stored once, found by any edge, renewed while in use, bounded, and never trusted."""

import asyncio
from collections.abc import Sequence

import pytest

from common.errors import LimitError, UnavailableError
from common.names import RedisNames
from common.position import NamedPositions, NameList
from edge.cluster.name_lists import LIST_OVERHEAD, LISTS_PER_CALL, Command, NameLists
from edge.cluster.name_pot import LISTS_OF_ONE
from edge.state import Seat
from tests.edge.edge_without_redis import FakeClock
from tests.edge.names_in_memory import NamesInMemory

LONG = [f"{number:03d}" + "x" * 200 for number in range(30)]
SEAT = Seat(7)
SIZE = len(NameList((*LONG, "~edge")).text) + LIST_OVERHEAD


async def test_another_edge_finds_what_one_has_stored() -> None:
    """By its digest alone; both ask for its life to last."""
    redis, clock = NamesInMemory(), FakeClock()
    one, other = redis.lists(clock), redis.lists(clock, edge_id="other")
    stored = await one.store(LONG, Seat(1))
    assert redis.commands == [("SET", b"t:!names:" + stored.digest.encode(), stored.text, "EX", 450)]
    found = await other.find(stored.digest)
    assert found is not None
    assert found.names == (*LONG, "~edge")
    assert await other.find(stored.digest) is found
    assert redis.commands[1:] == [("GETEX", b"t:!names:" + stored.digest.encode())]
    assert await one.adopt(stored, LONG, Seat(2)) is stored
    own = await other.adopt(found, LONG[:2], Seat(2))
    assert own.names == (*LONG[:2], "~other")
    assert redis.commands[2:] == [("SET", b"t:!names:" + own.digest.encode(), own.text, "EX", 450)]


async def test_one_subscriber_has_a_few_lists(capsys: pytest.CaptureFixture[str]) -> None:
    """The oldest goes from Redis at once, unless another refers to it, too; if Redis fails then, nothing else does."""
    redis, one, two = NamesInMemory(), Seat(1), Seat(2)
    lists = redis.lists(FakeClock())
    stored = [await lists.store([f"{number}", *LONG], one) for number in range(LISTS_OF_ONE)]
    assert await lists.store(["0", *LONG], two) is stored[0]
    for number in range(10, 12):
        stored.append(await lists.store([f"{number}", *LONG], one))
    await lists.finish(1.0)
    kept = {lists._names.name_list(names.digest) for names in (stored[0], *stored[2:])}
    assert redis.values.keys() == kept
    assert await lists.find(stored[1].digest) is None
    redis.failing = True
    with pytest.raises(UnavailableError):
        await lists.store(["12", *LONG], one)
    await lists.finish(1.0)
    assert capsys.readouterr().out.count("does not keep the names") <= 1


def holding(names: NameList) -> Seat:
    """Return a seat whose cursor refers to a list."""
    seat = Seat(9)
    seat.positions = NamedPositions({}, names)
    return seat


async def test_what_is_known_is_not_asked_for_again() -> None:
    """Equal names are one list, until it is renewed without anybody who uses it."""
    redis = NamesInMemory()
    lists = redis.lists(FakeClock())
    stored = await lists.store(LONG, SEAT)
    assert await lists.store(LONG, SEAT) is stored
    assert await lists.find(stored.digest) is stored
    assert len(redis.commands) == 1
    await lists.renew()
    assert len(redis.commands) == 1
    assert await lists.find(stored.digest) is not None
    assert redis.commands[-1][0] == "GETEX"


async def test_what_is_not_there_or_not_ours_is_unknown() -> None:
    """A value whose digest is another, or that is no list at all, is none of an edge's."""
    redis = NamesInMemory()
    lists, digest = redis.lists(FakeClock()), NameList(LONG).digest
    assert await lists.find(digest) is None
    for value in (b"room\nhall", b"\xff\xfe", b"a b", b"x" * 100_000):
        redis.values[b"t:!names:" + digest.encode()] = value
        assert await lists.find(digest) is None


async def test_many_are_asked_for_together() -> None:
    """One call at a time, however many wait."""
    redis, calls = NamesInMemory(), []

    async def ask(commands: Sequence[Command]) -> Sequence[object]:
        calls.append(len(commands))
        await asyncio.sleep(0)
        return await redis.ask(commands)

    lists = NameLists("edge", ask, RedisNames("t:"), (), FakeClock(), lifetime=300, max_bytes=10_000_000)
    kept = await asyncio.gather(*(lists.store([f"{number}", *LONG], Seat(number)) for number in range(200)))
    assert len({names.digest for names in kept}) == 200
    assert calls == [LISTS_PER_CALL, LISTS_PER_CALL, LISTS_PER_CALL, 8]


async def test_what_is_in_use_is_renewed_and_written_again_if_lost() -> None:
    """What nobody uses is left to its end."""
    redis = NamesInMemory()
    seats = [Seat(number) for number in range(1000)]
    lists = redis.lists(FakeClock(), seats)
    used = await lists.store(LONG, SEAT)
    seats[777] = holding(used)
    await lists.store(LONG[:20], SEAT)
    redis.commands.clear()
    await lists.renew()
    assert [command[0] for command in redis.commands] == ["EXPIRE"]
    redis.values.clear()
    await lists.renew()
    assert [command[0] for command in redis.commands] == ["EXPIRE", "EXPIRE", "SET"]
    assert list(redis.values.values()) == [used.text]


async def test_an_edge_that_loses_redis_renews_later() -> None:
    """It neither fails nor forgets."""
    redis, seats = NamesInMemory(), list[Seat]()
    lists = redis.lists(FakeClock(), seats)
    used = await lists.store(LONG, SEAT)
    seats.append(holding(used))
    redis.failing = True
    await lists.renew()
    redis.failing = False
    redis.values.clear()
    await lists.renew()
    assert list(redis.values.values()) == [used.text]


async def test_more_than_the_budget_is_refused_while_all_is_in_use() -> None:
    """What nobody refers to makes room, the oldest first; what is in use stays, and counts on when it is renewed."""
    redis, clock = NamesInMemory(), FakeClock()
    one, two = Seat(1), Seat(2)
    lists = redis.lists(clock, [one], max_bytes=2 * SIZE + 10)
    first = await lists.store(LONG, one)
    one.positions = NamedPositions({}, first)
    second = await lists.store(LONG[::-1], two)
    with pytest.raises(LimitError, match="too many lists of channels") as refused:
        await lists.store(["a", *LONG[1:]], Seat(3))
    assert (refused.value.limit, len(redis.values)) == ("names_bytes", 2)
    clock.now += 300
    await lists.renew()
    lists.pot.leave(two)
    third = await lists.store(["b", *LONG[1:]], Seat(3))
    await lists.finish(1.0)
    assert set(redis.values.values()) == {first.text, third.text}
    assert await lists.find(second.digest) is None
    with pytest.raises(LimitError):
        await lists.store(["c", *LONG[1:]], Seat(4))
    assert await lists.store(LONG, Seat(4)) is first


@pytest.mark.parametrize(
    ("trouble", "told"),
    [("failing", "does not answer"), ("denied", "does not keep"), ("full", "no memory left")],
)
async def test_a_redis_in_trouble_is_told_of_and_costs_no_budget(trouble: str, told: str) -> None:
    """The client may try again; the next one is served when Redis is."""
    redis = NamesInMemory()
    lists = redis.lists(FakeClock(), max_bytes=SIZE)
    setattr(redis, trouble, True)
    for _ in range(3):
        with pytest.raises(UnavailableError, match=told):
            await lists.store(LONG, SEAT)
    setattr(redis, trouble, False)
    assert await lists.store(LONG[::-1], SEAT)


async def test_who_waits_no_more_is_not_asked_for() -> None:
    """A wait that was given up costs Redis nothing."""
    redis = NamesInMemory()
    lists = redis.lists(FakeClock())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await lists.find("x" * 24)
    await asyncio.sleep(0)
    await lists.finish()
    assert redis.commands == []
