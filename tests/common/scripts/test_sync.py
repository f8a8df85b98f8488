"""Reading logs on a real Valkey: what proves a position, after wipes, rollbacks and foreign entries too."""

import pytest

from common.message import LAST_EPOCH, Message
from common.position import START, Position
from common.scripts.calls import DAY
from common.scripts.results import SyncQuery, SyncResult, Unreadable
from tests.common.scripts.real_log import Log, fill_memory, free_memory

FAR_FUTURE = 4_000_000_000_000_000  # microseconds: the year 2096
BROKEN = {
    "no payload": {"p": 1},
    "no predecessor": {"d": "hi"},
    "a predecessor that is no tag": {"p": "the last one", "d": "hi"},
    "a predecessor that is huge": {"p": "9" * 5000, "d": "hi"},
    "nothing of ours": {"name": "value"},
}


@pytest.mark.parametrize(("left", "kept"), [(DAY // 2 - 1, DAY), (DAY // 2 + 9, DAY // 2 + 9), (1, DAY)])
async def test_a_position_is_kept_while_it_is_read(log: Log, left: int, kept: int) -> None:
    """An edge that compares a quiet channel with its log lets its position live on, and writes once in half a day."""
    await log.publish(b"one")
    await log.client.expire(log.top_key, left)
    await log.scripts.sync([SyncQuery("room")])
    assert kept - 5 < await log.client.ttl(log.top_key) <= kept


@pytest.mark.parametrize("query", [SyncQuery("room"), SyncQuery("room", known=0), SyncQuery("room", 0, known=0)])
@pytest.mark.parametrize(("left", "kept"), [(149, 300), (170, 170), (1, 300), (DAY, DAY)])
async def test_a_position_without_messages_is_kept_for_short(log: Log, query: SyncQuery, left: int, kept: int) -> None:
    """If its edges die nothing is left soon; what an older version keeps for a day is not kept for less."""
    await log.top()
    assert 295 < await log.client.ttl(log.top_key) <= 300
    await log.client.expire(log.top_key, left)
    await log.scripts.sync([query])
    assert kept - 5 < await log.client.ttl(log.top_key) <= kept


async def test_the_first_message_has_its_position_kept_for_long(log: Log) -> None:
    """The genesis looks so old that each version of append.lua finds it time to extend the life of the key."""
    genesis = await log.top()
    first = await log.publish(b"one")
    assert first.tag - genesis.tag > 60_000_000
    assert DAY - 5 < await log.client.ttl(log.top_key) <= DAY


async def test_the_first_sync_makes_a_genesis_that_the_first_publish_chains_to(log: Log) -> None:
    """A channel that was never written has a position that can be proved, before and after its first message."""
    genesis = await log.top()
    assert genesis.offset == 0
    assert genesis.tag > 1_700_000_000_000_000
    assert await log.top() == genesis
    assert await log.recover(genesis) == []
    assert await log.client.exists(log.log_key) == 0
    await log.publish(b"one")
    await log.publish(b"two")
    assert await log.recover(genesis) == [b"one", b"two"]


async def test_sync_gives_exactly_the_later_messages(log: Log) -> None:
    """From each position on, the log leads to the top; from the top on, there is nothing."""
    positions = [await log.top()] + [await log.publish(b"%d" % number) for number in range(6)]
    for offset, position in enumerate(positions):
        assert await log.recover(position) == [b"%d" % number for number in range(offset, 6)]
    assert await log.recover(START) == [b"0", b"1", b"2", b"3", b"4", b"5"]


async def test_several_channels_are_read_at_once(log: Log) -> None:
    """Each gets its own answer in the order asked: a known one, a new one, one twice, one whose top is all we ask."""
    first = await log.publish(b"one")
    last = await log.publish(b"two")
    asked = [SyncQuery("room", 1), SyncQuery("new", 0), SyncQuery("room"), SyncQuery("room", 2), SyncQuery("newer")]
    room, new, top, whole, newer = await log.scripts.sync(asked)
    assert (room.top, [message.payload for message in room.messages]) == (last, [b"two"])
    assert room.messages[0].prev == first.tag
    assert (new.top.offset, new.messages) == (0, [])
    assert (top.top, top.messages) == (whole.top, whole.messages) == (last, [])
    assert newer.top.offset == 0


async def test_a_sync_of_nothing_is_nothing(log: Log) -> None:
    """No channel, no answer, no error."""
    assert await log.scripts.sync([]) == []


@pytest.mark.parametrize(
    "forged",
    [Position(1, 1), Position(0, 7), Position(2, FAR_FUTURE), Position(3, 1), Position(10**19 - 1, 10**19 - 1)],
)
async def test_a_forged_position_proves_nothing(log: Log, forged: Position) -> None:
    """A right offset with a wrong tag, a place ahead of the log, the largest numbers: all lead to a reset."""
    await log.publish(b"one")
    await log.publish(b"two")
    assert await log.recover(forged) is None


async def test_a_position_of_another_channel_proves_nothing(log: Log) -> None:
    """The same offset elsewhere is another place."""
    forwarder = await log.backend.publish("other", Message(b"hi"))
    await log.publish(b"one")
    assert forwarder.position is not None
    assert await log.recover(forwarder.position) is None


async def test_after_a_wipe_nothing_chains_to_what_was_before(own_log: Log) -> None:
    """FLUSHALL starts a new genesis: earlier positions are reset, at once and after the next publishes."""
    genesis = await own_log.top()
    before = [genesis, await own_log.publish(b"one"), await own_log.publish(b"two")]
    await own_log.client.flushall()
    new_genesis = await own_log.top()
    assert new_genesis.offset == 0
    assert new_genesis not in before
    for count in range(4):
        assert [await own_log.recover(position) for position in before] == [None, None, None]
        assert await own_log.recover(new_genesis) == [b"new"] * count
        await own_log.publish(b"new")


async def test_after_a_wipe_a_publish_without_any_sync_does_not_chain_either(own_log: Log) -> None:
    """The publisher that comes first makes a genesis of its own, another one each time."""
    one = await own_log.publish(b"one")
    genesis = Position(0, (await own_log.stored())[0].prev)
    assert await own_log.recover(genesis) == [b"one"]
    await own_log.client.flushall()
    assert (await own_log.publish(b"new")).offset == 1
    assert [await own_log.recover(position) for position in (genesis, one)] == [None, None]


async def test_without_its_top_a_log_starts_again(log: Log) -> None:
    """The entries that are left in the stream are deleted and prove nothing."""
    before = [await log.top(), await log.publish(b"one"), await log.publish(b"two")]
    await log.client.delete(log.top_key)
    assert [await log.recover(position) for position in before] == [None, None, None]
    await log.publish(b"new")
    assert [await log.recover(position) for position in before] == [None, None, None]
    assert await log.recover(START) == [b"new"]


async def test_without_its_top_the_next_publish_starts_again(log: Log) -> None:
    """The same, when the publisher finds it first: its offset 1 goes into an empty stream."""
    before = [await log.top(), await log.publish(b"one"), await log.publish(b"two")]
    await log.client.delete(log.top_key)
    assert (await log.publish(b"new")).offset == 1
    assert [await log.recover(position) for position in before] == [None, None, None]
    assert await log.recover(START) == [b"new"]


async def test_without_its_stream_only_the_top_position_is_proved(log: Log) -> None:
    """The messages are gone, and a position before one of them is a reset; offsets continue."""
    genesis, first, top = await log.top(), await log.publish(b"one"), await log.publish(b"two")
    await log.client.delete(log.log_key)
    assert [await log.recover(position) for position in (genesis, first, top)] == [None, None, []]
    assert await log.recover(START) == []
    assert (await log.publish(b"three")).offset == 3
    assert [await log.recover(position) for position in (genesis, first, top)] == [None, None, [b"three"]]


async def test_a_restored_dump_does_not_pass_for_the_log_that_went_on(log: Log) -> None:
    """After a rollback, positions of what was rolled back are reset, also when the offsets have caught up."""
    early = await log.publish(b"one")
    dumps = {key: await log.client.dump(key) for key in (log.top_key, log.log_key)}
    lost = [await log.publish(b"two"), await log.publish(b"three")]
    for key, dump in dumps.items():
        assert dump is not None
        await log.client.restore(key, 0, dump, replace=True)
    assert await log.recover(early) == []
    for expected in ([b"new"], [b"new", b"new"], [b"new", b"new", b"new"]):
        assert (await log.publish(b"new")).offset == 1 + len(expected)
        assert await log.recover(early) == expected
        assert [await log.recover(position) for position in lost] == [None, None]


@pytest.mark.parametrize("known", [None, 0], ids=["read", "joined"])
async def test_out_of_memory_new_names_are_refused_and_known_ones_are_not(own_log: Log, known: int | None) -> None:
    """Anybody can ask for new names: these write nothing, whatever else is in the call; the others go on."""
    first = await own_log.publish(b"one")
    await own_log.scripts.sync([SyncQuery("silent")])
    before = await own_log.keys()
    await fill_memory(own_log)
    names = ["new", "room", "newer", "silent", "newest"]
    answers = await own_log.scripts.sync([SyncQuery(name, None, known) for name in names])
    refused = [name for name, answer in zip(names, answers, strict=True) if isinstance(answer, Unreadable)]
    assert refused == ["new", "newer", "newest"]
    assert all(answer.is_refused for answer in answers if isinstance(answer, Unreadable))
    assert isinstance(answers[1], SyncResult)
    assert answers[1].top == first
    assert sorted(await own_log.keys()) == sorted(before)
    await free_memory(own_log)
    assert (await own_log.top()) == first


async def test_out_of_memory_an_edge_that_knows_a_channel_gets_its_genesis(own_log: Log) -> None:
    """Its subscribers are there: that the position was lost is a reset, and no reason to let them wait."""
    await fill_memory(own_log)
    (answer,) = await own_log.scripts.sync([SyncQuery("room", 7, known=3)])
    assert isinstance(answer, SyncResult)
    assert answer.top.offset == 0


@pytest.mark.parametrize("fields", BROKEN.values(), ids=BROKEN.keys())
async def test_a_broken_entry_proves_nothing(log: Log, fields: dict[str, object]) -> None:
    """A position before it is a reset, so is a wish for the whole history; a position after it continues."""
    genesis, first, top = await log.top(), await log.publish(b"one"), await log.publish(b"two")
    await log.client.delete(log.log_key)
    await log.client.xadd(log.log_key, fields, id=str(top))
    assert [await log.recover(since) for since in (START, genesis, first, top)] == [None, None, None, []]
    assert (await log.stored(genesis)) == [Message(b"", top.offset, -1, -1)]
    await log.publish(b"three")
    assert [await log.recover(since) for since in (START, first, top)] == [None, None, [b"three"]]


async def test_an_entry_behind_the_newest_proves_nothing(log: Log) -> None:
    """A reader of it is reset, whatever it contains."""
    genesis, first = await log.top(), await log.publish(b"one")
    await log.client.xadd(log.log_key, {"p": first.tag, "d": "forged"}, id=str(Position(2, first.tag + 1)))
    assert [await log.recover(since) for since in (START, genesis)] == [None, None]


@pytest.mark.parametrize("field", ["o", "t"])
async def test_a_top_that_lost_a_field_is_none(log: Log, field: str) -> None:
    """The channel starts again, whether a publish or a sync comes first."""
    before = await log.publish(b"one")
    await log.client.hdel(log.top_key, field)
    assert ((await log.top()).offset, await log.recover(before)) == (0, None)
    await log.client.hdel(log.top_key, field)
    assert (await log.publish(b"two")).offset == 1
    assert [await log.recover(since) for since in (START, before)] == [[b"two"], None]


@pytest.mark.parametrize("newest", ["9000000000000", "1000000000000000", "9007199254740993", "1" + "0" * 300])
async def test_an_epoch_that_cannot_be_is_replaced_by_the_clock(log: Log, newest: str) -> None:
    """Another program wrote it: from 1e14 on, two epochs could have one key, and messages would be lost."""
    await log.top()
    await log.client.hset(log.top_key, mapping={"b": newest, "u": newest, "sealed": newest})
    for known in (0, 8_999_999_999_999, 10**15):
        (synced,) = await log.scripts.sync([SyncQuery("room", None, known=known)])
        assert isinstance(synced, SyncResult)
        assert 1_700_000_000_000 < synced.epoch <= LAST_EPOCH
