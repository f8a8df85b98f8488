"""The proportion of welcomes and resets to their request, with literal requests."""

from bisect import bisect_left
from dataclasses import replace

import pytest

from common.position import FOREIGN, Position
from edge.framing.base import Framing
from edge.framing.http import Variant
from edge.framing.items import SESSION_BLANK, data_item, reset_item
from edge.framing.transports import framing_for
from edge.protocol.proportion import is_out_of_proportion, refusal
from edge.protocol.subscribe import PROPORTION, SubscribeRequest, bounded
from tests.edge.usual_log import stored

LETTERS = tuple(f"{number:02x}" for number in range(128))
START = Position(0, 1_795_376_754_532_743)
SESSION = SESSION_BLANK * 33


def framing(transport: str, callback: str = "") -> Framing:
    """Return a framing for several channels."""
    return framing_for(transport, Variant(envelope=True, callback=callback))


@pytest.mark.parametrize(
    ("transport", "channels", "size", "is_bounded"),
    [
        ("stream", LETTERS, 800, True),
        ("stream", LETTERS, 3000, False),
        ("stream", ("<" * 255,) * 9, 1000, True),
        ("poll", LETTERS, 100, False),
    ],
)
def test_only_a_request_that_may_come_near_has_a_bound(
    transport: str, channels: tuple[str, ...], size: int, is_bounded: bool
) -> None:
    """A poll is welcomed nowhere."""
    asked = bounded(SubscribeRequest(transport, channels), framing(transport), size)
    assert asked.most_control == (PROPORTION * size if is_bounded else 0)


@pytest.mark.parametrize("transport", ["stream", "sse", "iframe", "ws"])
def test_what_is_sent_is_what_counts(transport: str) -> None:
    """Exactly so much as the welcomes, resets and the cursor have; messages are not counted."""
    made = framing(transport, "parent")
    starts, resets = [START] * 128, [reset_item(name, str(START)) for name in LETTERS]
    asked = SubscribeRequest(transport, LETTERS, (FOREIGN,) * 128, most_control=10**6)
    message = data_item("00", stored(1, b"x" * 100_000))

    def is_over(most: int) -> bool:
        return is_out_of_proportion(replace(asked, most_control=most), made, starts, [*resets, message], SESSION)

    size = bisect_left(range(60_000), True, key=lambda most: not is_over(most))
    plain = made.encode([item._replace(cursor="") for item in resets], "")
    assert 128 * 120 + len(plain) < size < 128 * 200 + len(plain)


@pytest.mark.parametrize(("transport", "more"), [("sse", True), ("stream", False)])
def test_who_is_behind_is_sent_one_more_cursor(transport: str, *, more: bool) -> None:
    """If its bytes have one."""
    made, starts = framing(transport), [START] * 128
    asked = SubscribeRequest(transport, LETTERS, (START,) * 128)

    def is_over(most: int, writes: int) -> bool:
        return is_out_of_proportion(replace(asked, most_control=most), made, starts, [], SESSION, writes=writes)

    once, twice = (bisect_left(range(60_000), True, key=lambda most: not is_over(most, writes)) for writes in (1, 2))
    assert twice - once == (len(asked.positions_at(starts).cursor) if more else 0)


def test_a_refusal_is_a_plain_400() -> None:
    """On SSE, too: an EventSource would send the same again and again."""
    answer = refusal(framing("sse"))
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"Connection: close" in answer
    assert b"more than 30 times as long as this request" in answer
