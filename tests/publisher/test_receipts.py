import asyncio

import pytest

from common.channels import Names
from publisher.receipts import PATIENCE, Receipts

INBOX = b"t:!inbox:me"


@pytest.fixture
def receipts() -> Receipts:
    """Return an inbox that is acknowledged by Redis."""
    inbox = Receipts(Names("t:"), "me")
    inbox.listen_through(inbox.on_subscribed)
    inbox.on_up()
    return inbox


async def test_answers_are_summed_as_soon_as_all_edges_have_answered(receipts: Receipts) -> None:
    """Two edges reached, two answers in: the sum is there without waiting."""
    receipt = receipts.open()
    receipt.sent_to(2)
    receipts.on_message(INBOX, b"1 3")
    receipts.on_message(INBOX, b"1 4")
    assert await asyncio.wait_for(receipt.total(), PATIENCE / 2) == 7


async def test_an_answer_may_come_before_the_number_of_edges_is_known(receipts: Receipts) -> None:
    """An edge can be quicker than Redis's reply to the publisher."""
    receipt = receipts.open()
    receipts.on_message(INBOX, b"1 3")
    receipt.sent_to(1)
    assert await asyncio.wait_for(receipt.total(), PATIENCE / 2) == 3


async def test_no_edges_no_waiting(receipts: Receipts) -> None:
    """When Redis reached nobody the answer is 0 at once."""
    receipt = receipts.open()
    receipt.sent_to(0)
    assert await asyncio.wait_for(receipt.total(), PATIENCE / 2) == 0


async def test_an_edge_that_does_not_answer_is_left_out_after_250_ms(receipts: Receipts) -> None:
    """The sum of those who answered counts when the time is over."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    receipt = receipts.open()
    receipt.sent_to(2)
    receipts.on_message(INBOX, b"1 5")
    assert await receipt.total() == 5
    assert 0.24 <= loop.time() - began < 1


@pytest.mark.parametrize(
    ("name", "payload"),
    [
        (INBOX, b"2 1"),
        (INBOX, b""),
        (INBOX, b"1"),
        (INBOX, b"1 -1"),
        (INBOX, b"1 1 1"),
        (INBOX, b"1 x"),
        (INBOX, b"1 " + b"9" * 100),
        (b"t:!inbox:you", b"1 1"),
    ],
)
async def test_what_is_not_an_answer_is_ignored_and_counted(receipts: Receipts, name: bytes, payload: bytes) -> None:
    """Forged and malformed payloads change no sum."""
    receipt = receipts.open()
    receipts.on_message(name, payload)
    receipts.on_message(INBOX, b"1 1")
    receipt.sent_to(1)
    assert await receipt.total() == 1
    assert receipts.ignored == 1


async def test_a_late_answer_is_ignored(receipts: Receipts) -> None:
    """A receipt is forgotten with its holder, and what comes for it then is only counted."""
    receipt = receipts.open()
    receipt.sent_to(0)
    assert await receipt.total() == 0
    del receipt
    receipts.on_message(INBOX, b"1 1")
    assert receipts.ignored == 1


async def test_without_an_inbox_the_total_is_unknown(receipts: Receipts) -> None:
    """A lost connection ends the waiting at once, and until the next one is acknowledged nothing is heard."""
    receipt = receipts.open()
    receipt.sent_to(1)
    receipts.on_down()
    later = receipts.open()
    later.sent_to(1)
    assert await asyncio.wait_for(receipt.total(), PATIENCE / 2) is None
    assert await asyncio.wait_for(later.total(), PATIENCE / 2) is None


def test_an_old_acknowledgement_does_not_count() -> None:
    """Only the acknowledgement of this connection's own attempt makes the inbox heard (I8)."""
    receipts = Receipts(Names("t:"), "me")
    asked: list[int] = []
    receipts.listen_through(lambda name, attempt: asked.append(attempt))
    receipts.on_up()
    receipts.on_down()
    receipts.on_up()
    receipts.on_subscribed(INBOX, asked[0])
    assert not receipts.listening
    receipts.on_subscribed(INBOX, asked[1])
    assert receipts.listening
