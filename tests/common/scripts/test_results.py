"""Logs that something else than our scripts wrote to: nothing in them raises, and nothing in them passes for proof."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.message import Message
from common.position import START, Position
from common.scripts.results import stored_message
from tests.common.scripts.real_log import Log

FIELDS = st.lists(st.sampled_from([b"d", b"p", b"e", b"x", b"?"]) | st.binary(max_size=8), max_size=10)
BROKEN = {
    "no payload": {"p": 1},
    "no predecessor": {"d": "hi"},
    "a predecessor that is no tag": {"p": "the last one", "d": "hi"},
    "a predecessor that is huge": {"p": "9" * 5000, "d": "hi"},
    "nothing of ours": {"name": "value"},
}


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), FIELDS)
def test_any_entry_is_read(offset: int, tag: int, fields: list[bytes]) -> None:
    """Whatever fields an entry has, it makes a message, and one that our scripts did not write has no place."""
    message = stored_message(b"%d-%d" % (offset, tag), fields)
    ours = message.tag == tag
    assert message.offset == offset
    assert (message.tag, message.prev, message.payload) == (-1, -1, b"") or ours
    assert not ours or {b"d", b"p"} <= set(fields[::2])


@pytest.mark.parametrize("expires", ["1795540228796.5", "tomorrow", "", "-1", "9" * 5000])
async def test_an_expiry_that_is_no_time_is_none(log: Log, expires: str) -> None:
    """What the text for EVAL does not check, the edges can read all the same."""
    genesis = await log.top()
    await log.evaluate("hi", "expires", expires)
    (message,) = await log.stored()
    assert (message.payload, message.expires) == (b"hi", 0)
    assert await log.recover(genesis) == [b"hi"]


async def test_an_event_that_is_not_utf8_is_mended(log: Log) -> None:
    """It is shown as what it is, and does no harm to the message."""
    await log.evaluate("hi", "event", b"caf\xe9")
    (message,) = await log.stored()
    assert message.event == "caf\ufffd"


@pytest.mark.parametrize("fields", BROKEN.values(), ids=BROKEN.keys())
async def test_a_broken_entry_proves_nothing(log: Log, fields: dict[str, object]) -> None:
    """Whoever would need it is reset, also who wants all there is; whoever stands behind it goes on."""
    genesis, first, top = await log.top(), await log.publish(b"one"), await log.publish(b"two")
    await log.client.delete(log.log_key)
    await log.client.xadd(log.log_key, fields, id=str(top))
    assert [await log.recover(since) for since in (START, genesis, first, top)] == [None, None, None, []]
    assert (await log.stored(genesis)) == [Message(b"", top.offset, -1, -1)]
    await log.publish(b"three")
    assert [await log.recover(since) for since in (START, first, top)] == [None, None, [b"three"]]


async def test_an_entry_behind_the_newest_proves_nothing(log: Log) -> None:
    """Whoever reads it is reset, whatever it says."""
    genesis, first = await log.top(), await log.publish(b"one")
    await log.client.xadd(log.log_key, {"p": first.tag, "d": "forged"}, id=str(Position(2, first.tag + 1)))
    assert [await log.recover(since) for since in (START, genesis)] == [None, None]


@pytest.mark.parametrize("damage", [("SET", "x"), ("XADD", "*", "d", "by hand"), ("XADD", "9-9", "p", "1")], ids=str)
async def test_a_log_that_was_written_to_by_hand_begins_anew(log: Log, damage: tuple[str, ...]) -> None:
    """The next publish throws it away, no offset is lost, and whoever stands at the top goes on."""
    first, top = await log.publish(b"one"), await log.publish(b"two")
    command, *arguments = damage
    if command == "SET":
        await log.client.delete(log.log_key)
    await log.client.execute_command(command, log.log_key, *arguments)
    assert (await log.publish(b"three")).offset == 3
    assert [await log.recover(since) for since in (START, first, top)] == [[b"three"], None, [b"three"]]


@pytest.mark.parametrize("field", ["o", "t"])
async def test_a_top_that_lost_a_field_is_none(log: Log, field: str) -> None:
    """The channel begins anew, whoever comes first: a publish or a sync."""
    before = await log.publish(b"one")
    await log.client.hdel(log.top_key, field)
    assert ((await log.top()).offset, await log.recover(before)) == (0, None)
    await log.client.hdel(log.top_key, field)
    assert (await log.publish(b"two")).offset == 1
    assert [await log.recover(since) for since in (START, before)] == [[b"two"], None]
