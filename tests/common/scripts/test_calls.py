import asyncio
from itertools import pairwise

import pytest
from redis.exceptions import ResponseError

from common.message import Message, decode
from common.position import START, Position
from common.redis.client import connect
from common.scripts.calls import DAY, ONCE_TTL, TRIM_SLACK
from common.scripts.results import Published, SyncQuery
from tests.common.scripts.real_log import Listener, Log

FAR_FUTURE = 4_000_000_000_000_000  # microseconds: the year 2096
PAYLOADS = [b"", b"hi", b"a\nb\r\nc\n", b"\x01C1 9 9 9\nnested", b"\xff\x00\xfe", "ü€🎈".encode(), b"x" * 70_000]


# Publish: number, store and send.


async def test_offsets_count_and_tags_grow_and_each_names_the_one_before(log: Log) -> None:
    """Publishing makes a chain: offset + 1, a larger tag, and the predecessor's tag."""
    positions = [await log.publish(b"%d" % number) for number in range(20)]
    messages = await log.stored()
    assert [position.offset for position in positions] == list(range(1, 21))
    assert all(before.tag < after.tag for before, after in pairwise(positions))
    assert [message.position for message in messages] == positions
    assert [message.prev for message in messages][1:] == [position.tag for position in positions][:-1]
    assert await log.top() == positions[-1]


async def test_publishers_that_race_make_one_chain(log: Log) -> None:
    """A hundred publishes at once, on several connections, leave a log without fork or hole."""
    genesis = await log.top()
    await asyncio.gather(*[log.publish(b"%d" % number) for number in range(100)])
    missed = await log.recover(genesis)
    assert missed is not None
    assert sorted(missed, key=int) == [b"%d" % number for number in range(100)]


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda payload: repr(payload[:12]))
async def test_the_frame_that_is_sent_is_the_entry_that_is_stored(log: Log, payload: bytes) -> None:
    """Whoever listens and whoever reads the log later get the same message, byte by byte, event included."""
    async with Listener(log) as listener:
        published = await log.scripts.publish("room", Message(payload, event="price up=ü\n%"))
        (frame,) = await listener.received()
    (stored,) = await log.stored()
    assert decode(frame) == stored
    assert stored.payload == payload
    assert stored.event == "price up=ü\n%"
    assert published == Published(stored.position, 1)


async def test_an_inbox_is_sent_and_not_stored(log: Log) -> None:
    """A receipt is asked of those who listen now, not of those who read the log later."""
    async with Listener(log) as listener:
        await log.scripts.publish("room", Message(b"hi", inbox="p1:7"))
        (frame,) = await listener.received()
    (stored,) = await log.stored()
    assert decode(frame) == stored._replace(inbox="p1:7")
    assert stored.inbox == ""


async def test_a_publish_tells_how_many_edges_it_reached(log: Log) -> None:
    """Nobody, then two."""
    assert (await log.scripts.publish("room", Message(b"one"))).edges == 0
    async with Listener(log), Listener(log):
        assert (await log.scripts.publish("room", Message(b"two"))).edges == 2


async def test_a_log_is_kept_for_its_time_and_its_place_for_longer(log: Log) -> None:
    """Messages expire after COMET_HISTORY_TTL; the position stays a day at least, or every pause would be a wipe."""
    await log.publish(b"hi")
    assert 290_000 < await log.client.pttl(log.log_key) <= 300_000
    assert (DAY - 10) * 1000 < await log.client.pttl(log.top_key) <= DAY * 1000


@pytest.mark.parametrize(("left", "kept"), [(DAY // 2 - 1, DAY), (DAY // 2 + 9, DAY // 2 + 9), (1, DAY)])
async def test_a_place_is_kept_while_somebody_asks_for_it(log: Log, left: int, kept: int) -> None:
    """An edge that compares a quiet channel with its log lets its position live on, and writes once in half a day."""
    await log.top()
    await log.client.expire(log.top_key, left)
    await log.scripts.sync([SyncQuery("room")])
    assert kept - 5 < await log.client.ttl(log.top_key) <= kept


async def test_a_live_message_leaves_nothing_in_redis(log: Log) -> None:
    """It is sent without a position, and there is no key afterwards."""
    async with Listener(log) as listener:
        assert await log.scripts.publish("room", Message(b"hi", event="e"), live=True) == Published(None, 1)
        assert [decode(frame) for frame in await listener.received()] == [Message(b"hi", event="e")]
    assert await log.keys() == []


async def test_a_live_message_between_two_stored_ones_does_not_break_the_chain(log: Log) -> None:
    """It consumes no offset."""
    first = await log.publish(b"one")
    await log.scripts.publish("room", Message(b"live"), live=True)
    await log.publish(b"two")
    assert await log.recover(first) == [b"two"]


async def test_a_deployment_without_history_has_no_keys(valkey_url: str, prefix: str) -> None:
    """COMET_HISTORY_SIZE=0 is PUBLISH and nothing else, with an idempotency key, too."""
    async with connect(valkey_url) as client:
        log = Log(client, prefix, history_size=0)
        async with Listener(log) as listener:
            assert await log.scripts.publish("room", Message(b"hi"), key="k") == Published(None, 1)
            assert await listener.received() == [b"\x01C1 0 0 0\nhi"]
        assert await log.keys() == []


# Idempotency keys.


async def test_the_same_key_gets_the_same_answer_and_does_nothing(log: Log) -> None:
    """A retry, even with other content, is answered like the first try; nothing is stored or sent twice."""
    async with Listener(log) as listener:
        first = await log.scripts.publish("room", Message(b"paid"), key="order 7")
        again = await log.scripts.publish("room", Message(b"other"), key="order 7")
        assert (first.edges, again) == (1, Published(first.position, 1, again=True))
        assert len(await listener.received()) == 1
    assert [message.payload for message in await log.stored()] == [b"paid"]
    assert await log.top() == first.position


async def test_a_key_remembers_how_many_got_its_message(log: Log) -> None:
    """Whoever asked the subscribers notes it; it lives no longer than the key, and does not bring it back."""
    first = await log.scripts.publish("room", Message(b"paid"), key="a")
    await log.scripts.remember("room", "a", first, 7)
    assert await log.scripts.publish("room", Message(b"paid"), key="a") == first._replace(again=True, subscribers=7)
    assert ONCE_TTL - 10 < await log.client.ttl(log.names.once("room", "a")) <= ONCE_TTL
    await log.scripts.remember("room", "gone", first, 7)
    assert not await log.client.exists(log.names.once("room", "gone"))


async def test_a_key_of_an_older_version_is_known(log: Log) -> None:
    """It holds the position and nothing else."""
    await log.client.set(log.names.once("room", "a"), "3-1795540228796123")
    published = await log.scripts.publish("room", Message(b"paid"), key="a")
    assert published == Published(Position(3, 1795540228796123), 0, again=True)


async def test_other_keys_and_other_channels_are_their_own(log: Log) -> None:
    """A key is remembered per channel, whatever characters it has, and for five minutes."""
    keys = ["a", "b", "a b", "{x}", "ü*\n"]
    positions = [await log.publish(b"hi", key) for key in keys]
    assert [position.offset for position in positions] == [1, 2, 3, 4, 5]
    assert (await log.scripts.publish("other", Message(b"hi"), key="a")).edges == 0
    for key in keys:
        assert ONCE_TTL - 10 < await log.client.ttl(log.names.once("room", key)) <= ONCE_TTL


# Sync: where a channel stands, and what it holds.


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
    forwarder = await log.scripts.publish("other", Message(b"hi"))
    await log.publish(b"one")
    assert forwarder.position is not None
    assert await log.recover(forwarder.position) is None


async def test_the_log_is_trimmed_and_who_fell_behind_is_reset(valkey_url: str, prefix: str) -> None:
    """About COMET_HISTORY_SIZE messages are kept; who stands within them goes on, who stands before is told."""
    async with connect(valkey_url) as client:
        log = Log(client, prefix, history_size=10)
        positions = [await log.publish(b"%d" % number) for number in range(300)]
        kept = await log.stored()
        assert 10 <= len(kept) <= 10 + TRIM_SLACK
        assert await log.recover(positions[0]) is None
        assert await log.recover(positions[-10]) == [b"%d" % number for number in range(291, 300)]
        assert await log.recover(START) == [message.payload for message in kept]


# What operators, dumps and clocks do.


async def test_after_a_wipe_nothing_chains_to_what_was_before(own_log: Log) -> None:
    """FLUSHALL starts a new genesis: who was there before is reset, at once and after the next publishes."""
    genesis = await own_log.top()
    before = [genesis, await own_log.publish(b"one"), await own_log.publish(b"two")]
    await own_log.client.flushall()
    new_genesis = await own_log.top()
    assert new_genesis.offset == 0
    assert new_genesis.tag > before[-1].tag
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


async def test_without_its_top_a_log_starts_anew(log: Log) -> None:
    """What the lost top left behind in the stream is thrown away and never proved."""
    before = [await log.top(), await log.publish(b"one"), await log.publish(b"two")]
    await log.client.delete(log.top_key)
    assert [await log.recover(position) for position in before] == [None, None, None]
    await log.publish(b"new")
    assert [await log.recover(position) for position in before] == [None, None, None]
    assert await log.recover(START) == [b"new"]


async def test_without_its_top_the_next_publish_starts_anew(log: Log) -> None:
    """The same, when the publisher finds it first: its offset 1 goes into an empty stream."""
    before = [await log.top(), await log.publish(b"one"), await log.publish(b"two")]
    await log.client.delete(log.top_key)
    assert (await log.publish(b"new")).offset == 1
    assert [await log.recover(position) for position in before] == [None, None, None]
    assert await log.recover(START) == [b"new"]


async def test_without_its_stream_only_who_stands_at_the_top_is_whole(log: Log) -> None:
    """The messages are gone, and whoever would need one is reset; offsets go on."""
    genesis, first, top = await log.top(), await log.publish(b"one"), await log.publish(b"two")
    await log.client.delete(log.log_key)
    assert [await log.recover(position) for position in (genesis, first, top)] == [None, None, []]
    assert await log.recover(START) == []
    assert (await log.publish(b"three")).offset == 3
    assert [await log.recover(position) for position in (genesis, first, top)] == [None, None, [b"three"]]


async def test_a_restored_dump_does_not_pass_for_the_log_that_went_on(log: Log) -> None:
    """After a rollback, who saw what was rolled back is reset, also when the offsets have caught up again."""
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


async def test_tags_grow_when_the_clock_is_set_back(log: Log) -> None:
    """A newest tag from the future stands for a clock that was ahead: the next tags are still larger, by one."""
    await log.publish(b"one")
    await log.client.hset(log.top_key, "t", FAR_FUTURE)
    assert await log.publish(b"two") == Position(2, FAR_FUTURE + 1)
    assert await log.publish(b"three") == Position(3, FAR_FUTURE + 2)
    assert await log.recover(Position(1, FAR_FUTURE)) == [b"two", b"three"]


async def test_a_server_that_forgot_the_scripts_gets_them_again(own_log: Log) -> None:
    """After a restart or SCRIPT FLUSH nobody notices."""
    first = await own_log.publish(b"one")
    await own_log.client.script_flush()
    await own_log.publish(b"two")
    await own_log.client.script_flush()
    assert await own_log.recover(first) == [b"two"]


# Memory is full.


async def test_out_of_memory_a_publish_fails_and_nothing_happened(own_log: Log) -> None:
    """No offset is consumed, nothing is sent, the key is free for the retry, and the chain goes on afterwards."""
    first = await own_log.publish(b"one")
    async with Listener(own_log) as listener:
        await fill_memory(own_log)
        with pytest.raises(ResponseError, match="maxmemory"):
            await own_log.publish(b"refused", key="k")
        assert await own_log.top() == first
        await free_memory(own_log)
        second = await own_log.publish(b"two", key="k")
        assert second.offset == 2
        assert [decode(frame) for frame in await listener.received()] == [Message(b"two", *second, prev=first.tag)]
    assert await own_log.recover(first) == [b"two"]


async def test_out_of_memory_a_first_publish_leaves_no_key(own_log: Log) -> None:
    """A channel that could not be begun has not begun."""
    await fill_memory(own_log)
    with pytest.raises(ResponseError, match="maxmemory"):
        await own_log.publish(b"refused", key="k")
    assert await own_log.keys() == []


async def test_out_of_memory_live_messages_still_go_out(own_log: Log) -> None:
    """They need no memory."""
    async with Listener(own_log) as listener:
        await fill_memory(own_log)
        assert (await own_log.scripts.publish("room", Message(b"hi"), live=True)).edges == 1
        assert len(await listener.received()) == 1


async def test_out_of_memory_subscribers_of_a_new_channel_are_still_seated(own_log: Log) -> None:
    """The sync of a new channel writes its genesis all the same.

    That is meant: publish.lua's first write is one that Redis refuses when its memory is full, sync.lua's is not (DEL),
    and that lets the rest of the script pass. A genesis is some hundred bytes and expires; a subscriber that could not
    attach would come again and again. What it waits for, a publish, is refused until there is room, and then chains.
    """
    await fill_memory(own_log)
    genesis = await own_log.top()
    assert genesis.offset == 0
    assert await own_log.top() == genesis
    assert 0 < await own_log.client.ttl(own_log.top_key) <= DAY
    await free_memory(own_log)
    await own_log.publish(b"one")
    assert await own_log.recover(genesis) == [b"one"]


async def fill_memory(log: Log) -> None:
    """Let Redis refuse every command that needs memory."""
    await log.client.config_set("maxmemory-policy", "noeviction")
    await log.client.config_set("maxmemory", 1)


async def free_memory(log: Log) -> None:
    """Let Redis take all memory it likes."""
    await log.client.config_set("maxmemory", 0)
