import asyncio

import pytest

from common.names import RedisNames
from common.rpc.messages import decode_receipt
from common.rpc.replies import REPLY_TIMEOUT, ReplyInbox


@pytest.fixture
def inbox() -> ReplyInbox:
    """Return an inbox that is acknowledged by Redis."""
    inbox = ReplyInbox(RedisNames("t:"), "me")
    inbox.on_reachable(True)
    return inbox


async def test_answers_are_there_as_soon_as_all_edges_have_answered(inbox: ReplyInbox) -> None:
    """Two edges reached, two answers in: they are there without waiting."""
    gathering = inbox.open(decode_receipt)
    gathering.sent_to(2)
    inbox.on_message(b"1 3")
    inbox.on_message(b"1 4")
    assert await asyncio.wait_for(gathering.answers(), REPLY_TIMEOUT / 2) == [3, 4]


async def test_an_answer_may_come_before_the_number_of_edges_is_known(inbox: ReplyInbox) -> None:
    """An edge can be quicker than Redis's reply to the publisher."""
    gathering = inbox.open(decode_receipt)
    inbox.on_message(b"1 3")
    gathering.sent_to(1)
    assert await asyncio.wait_for(gathering.answers(), REPLY_TIMEOUT / 2) == [3]


async def test_no_edges_no_waiting(inbox: ReplyInbox) -> None:
    """If Redis reached no edge, there is no answer, at once."""
    gathering = inbox.open(decode_receipt)
    gathering.sent_to(0)
    assert await asyncio.wait_for(gathering.answers(), REPLY_TIMEOUT / 2) == []


@pytest.mark.parametrize("seconds", [REPLY_TIMEOUT, 0.1])
async def test_an_edge_that_does_not_answer_in_time_is_left_out(inbox: ReplyInbox, seconds: float) -> None:
    """The answers that are there count when the time, 250 ms by default, is over."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    gathering = inbox.open(decode_receipt)
    gathering.sent_to(2, seconds)
    inbox.on_message(b"1 5")
    assert await gathering.answers() == [5]
    assert 0.9 * seconds <= loop.time() - began < 1


@pytest.mark.parametrize(
    "payload",
    [b"2 1", b"", b"1", b"1 -1", b"1 1 1", b"1 x", b"1 " + b"9" * 100, b"9" * 5000 + b" 1", b"\xef\xbc\x91 1"],
)
async def test_what_is_not_an_answer_is_ignored_and_counted(inbox: ReplyInbox, payload: bytes) -> None:
    """Forged and malformed payloads change nothing."""
    gathering = inbox.open(decode_receipt)
    inbox.on_message(payload)
    inbox.on_message(b"1 1")
    gathering.sent_to(1)
    assert await gathering.answers() == [1]
    assert inbox.ignored == 1


async def test_a_late_answer_is_ignored(inbox: ReplyInbox) -> None:
    """A gathering is forgotten with its holder, and what comes for it then is only counted."""
    gathering = inbox.open(decode_receipt)
    gathering.sent_to(0)
    assert await gathering.answers() == []
    del gathering
    inbox.on_message(b"1 1")
    assert inbox.ignored == 1


async def test_answers_that_cannot_be_heard_are_unknown_and_not_waited_for(inbox: ReplyInbox) -> None:
    """A lost connection ends the waiting at once, and until the next one is acknowledged nothing is heard."""
    gathering = inbox.open(decode_receipt)
    gathering.sent_to(1)
    inbox.on_reachable(False)
    later = inbox.open(decode_receipt)
    later.sent_to(1)
    assert await asyncio.wait_for(gathering.answers(), REPLY_TIMEOUT / 2) is None
    assert await asyncio.wait_for(later.answers(), REPLY_TIMEOUT / 2) is None
    inbox.on_reachable(True)
    last = inbox.open(decode_receipt)
    last.sent_to(0)
    assert await last.answers() == []
