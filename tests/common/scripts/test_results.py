"""Stream entries that the scripts did not write: reading them never raises."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.scripts.results import stored_message
from tests.common.scripts.real_log import Log

FIELDS = st.lists(st.sampled_from([b"d", b"p", b"e", b"x", b"?"]) | st.binary(max_size=8), max_size=10)


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
    """The text for EVAL does not check it, but the edges can still read the message."""
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
