"""A Last-Event-ID that another server gave: an EventSource is told so by a reset, whoever can read an error by that."""

import pytest

from common.errors import BadRequestError
from common.position import FOREIGN, Position
from edge.protocol.http import parse_request
from edge.protocol.subscribe import SubscribeRequest, parse_subscribe

FOREIGN_IDS = [
    "-1",
    "undefined",
    "null",
    "42",
    "evt_01HX",
    "12-17,13-18,14-19",
    "room=nowhere",
    "12-0",
    "2026-11-30T00:00:00Z",
]


def asked(target: str, last_event_id: str) -> SubscribeRequest:
    """Read a GET with a Last-Event-ID."""
    head = f"GET {target} HTTP/1.1\r\nHost: x\r\nLast-Event-ID: {last_event_id}\r\n\r\n"
    return parse_subscribe(parse_request(head.encode()))


@pytest.mark.parametrize("text", FOREIGN_IDS)
def test_an_event_source_goes_on_from_nowhere(text: str) -> None:
    """On each of its channels it stands where no log leads from, so it gets a reset; never an error."""
    assert asked("/sse?id=room&id=hall", text).since == (FOREIGN, FOREIGN)
    assert asked("/sse?id=room&id=hall", text).channels == ("room", "hall")


@pytest.mark.parametrize("text", FOREIGN_IDS)
@pytest.mark.parametrize("transport", ["stream", "poll", "jsonp", "iframe"])
def test_others_are_told_which_header_is_wrong(text: str, transport: str) -> None:
    """The sentence names the header, which was sent, and not the parameter, which was not."""
    with pytest.raises(BadRequestError, match=r"^Last-Event-ID: ") as told:
        asked(f"/{transport}?id=room&callback=f", text)
    assert "since" not in told.value.sentence


@pytest.mark.parametrize("transport", ["sse", "stream", "poll"])
def test_the_parameter_is_strict_everywhere(transport: str) -> None:
    """`since=` is written by a program, which can be mended."""
    head = f"GET /{transport}?id=room&since=-1 HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    with pytest.raises(BadRequestError, match=r"^since: '-1' is not a position"):
        parse_subscribe(parse_request(head))


def test_our_own_position_is_one() -> None:
    """What this server gave is read as before, and wins over the parameter."""
    assert asked("/sse?id=room&since=3-4", "12-17").since == (Position(12, 17),)
    assert asked("/sse?id=room", "hall=12-17").channels == ("hall",)


def test_without_a_channel_it_is_an_error() -> None:
    """A foreign id names no channel, and neither does the query."""
    with pytest.raises(BadRequestError, match="channel"):
        asked("/sse", "room=nowhere")
