"""Publishing on a real Valkey: what a log is, and when it begins again."""

import asyncio
from itertools import pairwise

import pytest
from redis.exceptions import ResponseError

from common.message import Message, decode
from common.position import START, Position
from common.redis.client import connect
from common.scripts.calls import DAY, TRIM_SLACK
from common.scripts.results import Published
from tests.common.scripts.real_log import Listener, Log, fill_memory, free_memory

FAR_FUTURE = 4_000_000_000_000_000  # microseconds: the year 2096
PAYLOADS = [b"", b"hi", b"a\nb\r\nc\n", b"\x01C1 9 9 9\nnested", b"\xff\x00\xfe", "ü€🎈".encode(), b"x" * 70_000]


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
    """Subscribers and later readers of the log get the same message, byte by byte, event included."""
    async with Listener(log) as listener:
        published = await log.backend.publish("room", Message(payload, event="price up=ü\n%"))
        (frame,) = await listener.received()
    (stored,) = await log.stored()
    assert decode(frame) == stored
    assert stored.payload == payload
    assert stored.event == "price up=ü\n%"
    assert published == Published(stored.position, 1)


async def test_an_inbox_is_sent_and_not_stored(log: Log) -> None:
    """A receipt is for subscribers of now, not for later readers of the log."""
    async with Listener(log) as listener:
        await log.backend.publish("room", Message(b"hi", inbox="p1:7"))
        (frame,) = await listener.received()
    (stored,) = await log.stored()
    assert decode(frame) == stored._replace(inbox="p1:7")
    assert stored.inbox == ""


async def test_a_log_is_kept_for_its_time_and_its_place_for_longer(log: Log) -> None:
    """Messages expire after COMET_HISTORY_TTL; the position stays a day at least, or every pause would be a wipe."""
    await log.publish(b"hi")
    assert 290_000 < await log.client.pttl(log.log_key) <= 300_000
    assert (DAY - 10) * 1000 < await log.client.pttl(log.top_key) <= DAY * 1000


async def test_the_log_is_trimmed_and_a_subscriber_from_before_is_reset(valkey_url: str, prefix: str) -> None:
    """About COMET_HISTORY_SIZE messages are kept: a position among them continues, an earlier one is a reset."""
    async with connect(valkey_url) as client:
        log = Log(client, prefix, history_size=10)
        positions = [await log.publish(b"%d" % number) for number in range(300)]
        kept = await log.stored()
        assert 10 <= len(kept) <= 10 + TRIM_SLACK
        assert await log.recover(positions[0]) is None
        assert await log.recover(positions[-10]) == [b"%d" % number for number in range(291, 300)]
        assert await log.recover(START) == [message.payload for message in kept]


async def test_tags_grow_when_the_clock_is_set_back(log: Log) -> None:
    """A newest tag from the future stands for a clock that was ahead: the next tags are still larger, by one."""
    await log.publish(b"one")
    await log.client.hset(log.top_key, "t", FAR_FUTURE)
    assert await log.publish(b"two") == Position(2, FAR_FUTURE + 1)
    assert await log.publish(b"three") == Position(3, FAR_FUTURE + 2)
    assert await log.recover(Position(1, FAR_FUTURE)) == [b"two", b"three"]


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


@pytest.mark.parametrize("damage", [("SET", "x"), ("XADD", "*", "d", "by hand"), ("XADD", "9-9", "p", "1")], ids=str)
async def test_a_log_that_was_written_to_by_hand_starts_again(log: Log, damage: tuple[str, ...]) -> None:
    """The next publish deletes it, no offset is lost, and a subscriber at the top continues."""
    first, top = await log.publish(b"one"), await log.publish(b"two")
    command, *arguments = damage
    if command == "SET":
        await log.client.delete(log.log_key)
    await log.client.execute_command(command, log.log_key, *arguments)
    assert (await log.publish(b"three")).offset == 3
    assert [await log.recover(since) for since in (START, first, top)] == [[b"three"], None, [b"three"]]
