"""From a Request to a SubscribeRequest, or to an error that names the field."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import RequestError
from common.position import Position
from edge.protocol.limits import MAX_CHANNELS
from edge.protocol.subscribe import SubscribeRequest, parse_subscribe
from tests.edge.http_client import get


def asked(path: str, query: str = "", **headers: str) -> SubscribeRequest:
    """Return what a GET asks for."""
    return parse_subscribe(get(path, query, **headers))


@pytest.mark.parametrize(
    ("path", "query", "accept", "transport"),
    [
        ("/sub", "id=room", "", "stream"),
        ("/sub", "id=room", "*/*", "stream"),
        ("/sub", "id=room", "text/event-stream", "sse"),
        ("/sub", "id=room", "text/html, text/event-stream;q=0.9", "sse"),
        ("/sub", "id=room", "Text/Event-Stream", "sse"),
        ("/sub", "id=room&transport=stream", "text/event-stream", "stream"),
        ("/sub", "id=room&transport=sse", "", "sse"),
        ("/sub", "id=room&transport=poll", "text/event-stream", "poll"),
        ("/sub", "id=room&transport=", "text/event-stream", "sse"),
        ("/sub", "id=room&transport=jsonp&callback=f", "", "jsonp"),
        ("/sub", "id=room&callback=f", "", "jsonp"),
        ("/sub", "id=room&cb=f", "text/event-stream", "jsonp"),
        ("/sub", "id=room&jsonp=f", "", "jsonp"),
        ("/sub", "id=room&callback=f&transport=poll", "", "jsonp"),
        ("/sub", "id=room&callback=f&transport=sse", "", "sse"),
        ("/stream", "id=room", "text/event-stream", "stream"),
        ("/stream", "id=room&transport=sse", "", "stream"),
        ("/sse", "id=room", "", "sse"),
        ("/poll", "id=room", "text/event-stream", "poll"),
        ("/poll", "id=room&callback=f", "", "poll"),
        ("/jsonp", "id=room&callback=f", "", "jsonp"),
    ],
)
def test_the_transport_is_negotiated(path: str, query: str, accept: str, transport: str) -> None:
    """The path decides, then the name, then a callback, then Accept; without any of them it is the stream."""
    assert asked(path, query, accept=accept).transport == transport


@pytest.mark.parametrize(
    ("query", "channels"),
    [
        ("id=room", ("room",)),
        ("channel=room", ("room",)),
        ("cname=room", ("room",)),
        ("id=b&id=a", ("b", "a")),
        ("id=c&channel=a&cname=b", ("c", "a", "b")),
        ("id=a&id=a", ("a",)),
        ("id=b&cname=a&id=b", ("b", "a")),
        ("id=%C3%BC", ("ü",)),
        ("id=a%2Bb", ("a+b",)),
        ("id=a%26b%3Dc", ("a&b=c",)),
        ("id=a=b", ("a=b",)),
        ("i%64=room", ("room",)),
        ("&id=room&", ("room",)),
        ("id=" + "a" * 255, ("a" * 255,)),
        ("id=a/b.c:d_e-f", ("a/b.c:d_e-f",)),
        ("&".join(f"id={n}" for n in range(MAX_CHANNELS)), tuple(str(n) for n in range(MAX_CHANNELS))),
        ("&".join(["id=a"] * (2 * MAX_CHANNELS)), ("a",)),
    ],
)
def test_channels_are_named_in_the_order_asked(query: str, channels: tuple[str, ...]) -> None:
    """`id` has synonyms and may be repeated; a channel asked for twice is kept once, at its first place."""
    assert asked("/sub", query).channels == channels


@pytest.mark.parametrize(
    ("query", "headers", "since"),
    [
        ("", {}, None),
        ("&since=", {}, None),
        ("&since=3-103", {}, (Position(3, 103),)),
        ("&since=0", {}, (Position(0, 0),)),
        ("&since=0-0", {}, (Position(0, 0),)),
        ("&since=9223372036854775807-9223372036854775807", {}, (Position(2**63 - 1, 2**63 - 1),)),
        ("&last_event_id=3-103", {}, (Position(3, 103),)),
        ("&lastEventId=3-103", {}, (Position(3, 103),)),
        ("&lastEventID=3-103", {}, (Position(3, 103),)),
        ("&Last-Event-ID=3-103", {}, (Position(3, 103),)),
        ("", {"last_event_id": "3-103"}, (Position(3, 103),)),
        ("&since=1-101", {"last_event_id": "3-103"}, (Position(3, 103),)),
        ("&since=1-101", {"last_event_id": ""}, (Position(1, 101),)),
        ("&id=hall&since=3-103,7-9", {}, (Position(3, 103), Position(7, 9))),
        ("&id=hall&since=3-103%2C7-9", {}, (Position(3, 103), Position(7, 9))),
        ("&id=hall&since=0,7-9", {}, (Position(0, 0), Position(7, 9))),
        ("&id=hall&since=0", {}, (Position(0, 0), Position(0, 0))),
        ("&id=room&since=3-103", {}, (Position(3, 103),)),
        ("&id=room&since=3-103,7-9", {}, (Position(3, 103),)),
        ("&id=hall&id=room&since=3-103,7-9,8-9", {}, (Position(3, 103), Position(7, 9))),
        ("&id=hall&id=room&since=3-103,7-9", {}, (Position(3, 103), Position(7, 9))),
        ("&id=hall&id=room&since=0", {}, (Position(0, 0), Position(0, 0))),
        ("&id=hall&since=0,%200", {}, (Position(0, 0), Position(0, 0))),
        ("&id=hall&since=0,+7-9", {}, (Position(0, 0), Position(7, 9))),
        ("&id=hall&since=3-103,+", {}, (Position(3, 103), None)),
        ("&id=hall", {"last_event_id": "3-103, 7-9"}, (Position(3, 103), Position(7, 9))),
        ("&since=0&last_event_id=", {}, (Position(0, 0),)),
        ("&last_event_id=&since=3-103&lastEventId=&lastEventID", {}, (Position(3, 103),)),
        ("&since=&last_event_id=3-103&since=", {}, (Position(3, 103),)),
    ],
)
def test_a_position_has_many_spellings(query: str, headers: dict[str, str], since: tuple[Position, ...] | None) -> None:
    """The header wins over the query; several channels have a list; a single `0` stands for all of them."""
    assert asked("/sub", "id=room" + query, **headers).since == since


@pytest.mark.parametrize(
    ("query", "timeout"),
    [("", None), ("&timeout=", None), ("&timeout=0", 0.0), ("&timeout=2.5", 2.5), ("&timeout=300", 300.0)],
)
def test_a_timeout_is_seconds(query: str, timeout: float | None) -> None:
    """A poll may say how long it waits; without that the edge decides."""
    assert asked("/poll", "id=room" + query).timeout == timeout


@pytest.mark.parametrize(
    ("query", "envelope"), [("", False), ("&envelope=", False), ("&envelope=0", False), ("&envelope=1", True)]
)
def test_an_envelope_can_be_asked_for(query: str, envelope: bool) -> None:
    """`envelope=1` asks for whole objects in SSE."""
    assert asked("/sse", "id=room" + query).envelope is envelope


@pytest.mark.parametrize(
    ("query", "named"), [("", False), ("&heartbeat=", False), ("&heartbeat=comment", False), ("&heartbeat=event", True)]
)
def test_heartbeats_may_be_events(query: str, named: bool) -> None:
    """`heartbeat=event` asks for what a page can receive."""
    assert asked("/sse", "id=room" + query).heartbeat_as_event is named


@pytest.mark.parametrize(
    ("query", "history"), [("", 0), ("&history=", 0), ("&history=0", 0), ("&history=7", 7), ("&history=10000", 10_000)]
)
def test_history_is_a_number_of_messages(query: str, history: int) -> None:
    """Without a position a subscriber may begin some messages back."""
    assert asked("/sub", "id=room" + query).history == history


@pytest.mark.parametrize("name", ["f", "$", "_", "jQuery.fn_1$", "a" * 64, "A.b.c"])
def test_a_callback_is_the_name_of_a_function(name: str) -> None:
    """Letters, digits, `_`, `$` and dots, up to 64 of them."""
    assert asked("/jsonp", f"id=room&callback={name}").callback == name


@pytest.mark.parametrize("name", ["f", "$", "_", "jQueryfn_1$", "a" * 64])
def test_a_frame_s_callback_has_no_dots(name: str) -> None:
    """It stands behind `parent.`, and leads no further."""
    assert asked("/iframe", f"id=room&callback={name}").callback == name


def test_a_callback_matters_to_jsonp_only() -> None:
    """Another transport takes no notice of a callback, good or bad: its connections all share one framing."""
    assert asked("/poll", "id=room&callback=f").callback == ""
    assert asked("/stream", "id=room&callback=a(b").callback == ""


@pytest.mark.parametrize(
    ("path", "query", "status", "field"),
    [
        ("/", "id=room", 404, "/sub?id="),
        ("/pub", "id=room", 404, "/pub"),
        ("/sub/", "id=room", 404, "/sub/"),
        ("//sub", "id=room", 404, "//sub"),
        ("/SUB", "id=room", 404, "/SUB"),
        ("", "id=room", 404, "/sub?id="),
        ("/sub", "", 400, "id"),
        ("/sub", "x=1", 400, "id"),
        ("/sub", "id=", 400, "id"),
        ("/sub", "id", 400, "id"),
        ("/sub", "ID=room", 400, "id"),
        ("/sub", "id=room&amp;id=lobby", 400, "escaped for HTML: write & where it has &amp;"),
        ("/sub", "id[]=room", 400, "id: write the name without brackets"),
        ("/sub", "id=room&cname%5B%5D=lobby", 400, "cname: write the name without brackets"),
        ("/sub", "id=a+b", 400, "id"),
        ("/sub", "id=a%20b", 400, "id"),
        ("/sub", "id=a%00", 400, "id"),
        ("/sub", "id=a%0D%0Ab", 400, "id"),
        ("/sub", "id=%7Broom%7D", 400, "id"),
        ("/sub", "id=!probe", 400, "id"),
        ("/sub", "id=*", 400, "id"),
        ("/sub", "id=room&id=", 400, "id"),
        ("/sub", "id=" + "a" * 256, 400, "id"),
        ("/sub", "id=" + "%C3%BC" * 128, 400, "id"),
        ("/sub", "id=%FF", 400, "UTF-8"),
        ("/sub", "id=%ED%A0%80", 400, "UTF-8"),
        ("/sub", "&".join(f"id={n}" for n in range(MAX_CHANNELS + 1)), 400, "id"),
        ("/sub", "id=room" + "&a" * 256, 400, "parameters"),
        ("/sub", "id=room&transport=smoke", 400, "transport"),
        ("/sub", "id=room&transport=SSE", 400, "transport"),
        ("/sub", "id=room&transport=sub", 400, "transport"),
        ("/sub", "id=room&callback=", 400, "callback"),
        ("/jsonp", "id=room", 400, "callback"),
        ("/jsonp", "id=room&callback=1f", 400, "callback"),
        ("/jsonp", "id=room&callback=f()", 400, "callback"),
        ("/jsonp", "id=room&callback=f%0A", 400, "callback"),
        ("/jsonp", "id=room&callback=%C3%BC", 400, "callback"),
        ("/jsonp", "id=room&callback=f%5B0%5D", 400, "callback"),
        ("/jsonp", "id=room&callback=" + "a" * 65, 400, "callback"),
        ("/iframe", "id=room&callback=A.b", 400, "callback"),
        ("/iframe", "id=room&callback=a.", 400, "callback"),
        ("/iframe", "id=room&callback=a%2Eb", 400, "callback"),
        ("/iframe", "id=room&callback=", 400, "callback"),
        ("/iframe", "id=room&callback=1f", 400, "callback"),
        ("/iframe", "id=room&callback=" + "a" * 65, 400, "callback"),
        ("/sub", "id=room&since=x", 400, "since"),
        ("/sub", "id=room&since=1", 400, "since"),
        ("/sub", "id=room&since=1-", 400, "since"),
        ("/sub", "id=room&since=01-1", 400, "since"),
        ("/sub", "id=room&since=-1-1", 400, "since"),
        ("/sub", "id=room&since=1-1%0A", 400, "since"),
        ("/sub", "id=room&since=1-%D9%A1", 400, "since"),
        ("/sub", "id=room&since=12345678901234567890-1", 400, "since"),
        ("/sub", "id=room&since=1-1,2-2", 400, "since"),
        ("/sub", "id=room&id=hall&since=1-1", 400, "since"),
        ("/sub", "id=room&id=hall&since=1-1,x", 400, "since"),
        ("/sub", "id=room&id=hall&since=1-1,2-2,3-3", 400, "since"),
        ("/sub", "id=room&id=hall&since=1-1,++2-2", 400, "since"),
        ("/sub", "id=room&id=hall&since=1-1+,2-2", 400, "since"),
        ("/sub", "id=room&id=room&id=hall&since=1-1,2-2,3-3,4-4", 400, "since"),
        ("/sub", "id=room&since=+1-1", 400, "since"),
        ("/sub", "id=room&since=1-0", 400, "since"),
        ("/sse", "id=room&heartbeat=Event", 400, "heartbeat"),
        ("/sub", "id=room&heartbeat=1", 400, "heartbeat"),
        ("/sub", "id=room&history=x", 400, "history"),
        ("/sub", "id=room&history=-1", 400, "history"),
        ("/sub", "id=room&history=10001", 400, "history"),
        ("/sub", "id=room&history=1_0", 400, "history"),
        ("/poll", "id=room&timeout=x", 400, "timeout"),
        ("/poll", "id=room&timeout=nan", 400, "timeout"),
        ("/poll", "id=room&timeout=inf", 400, "timeout"),
        ("/poll", "id=room&timeout=-inf", 400, "timeout"),
        ("/poll", "id=room&timeout=-1", 400, "timeout"),
        ("/poll", "id=room&timeout=300.1", 400, "timeout"),
        ("/poll", "id=room&timeout=1e999", 400, "timeout"),
    ],
)
def test_a_bad_subscription_is_told_which_field_is_wrong(path: str, query: str, status: int, field: str) -> None:
    """Each bad input has its status and one sentence that names the field."""
    with pytest.raises(RequestError) as caught:
        asked(path, query)
    assert caught.value.status == status
    assert field in caught.value.sentence
    assert "\n" not in caught.value.sentence


def test_a_bad_position_in_the_header_is_refused_too() -> None:
    """Last-Event-ID is checked like the query's position."""
    with pytest.raises(RequestError, match="Last-Event-ID"):
        asked("/stream", "id=room&since=1-101", last_event_id="x")


FIELDS = st.sampled_from(
    ["id", "channel", "since", "transport", "callback", "timeout", "envelope", "heartbeat", "x", "%", ""]
)
VALUES = st.one_of(st.sampled_from(["room", "0", "1-101", "1-101,2-102", "sse", "f", "%C3%BC", "%FF", "+"]), st.text())


@given(
    st.sampled_from(["/sub", "/sse", "/poll", "/jsonp", "/stream", "/x"]),
    st.one_of(
        st.text(st.characters(max_codepoint=255)),
        st.lists(st.tuples(FIELDS, VALUES).map("=".join)).map("&".join),
    ),
    st.one_of(st.just(""), st.text(st.characters(max_codepoint=255))),
)
def test_any_query_is_understood_or_refused(path: str, query: str, last_event_id: str) -> None:
    """Whatever the query holds, it gives a good SubscribeRequest or a RequestError, and nothing else."""
    try:
        request = asked(path, query, last_event_id=last_event_id)
    except RequestError:
        return
    assert len(set(request.channels)) == len(request.channels) > 0
    assert all(re.fullmatch(r"[^\s{}!*]+", name) for name in request.channels)
    assert request.since is None or len(request.since) == len(request.channels)
    assert request.timeout is None or 0 <= request.timeout <= 300
    assert 0 <= request.history <= 10_000


@pytest.mark.parametrize("name", ["a%", "a%2", "%zz", "%u0041", "%%30", "a%2%35"])
def test_a_channel_with_a_broken_escape_is_refused(name: str) -> None:
    """Servers decode it differently: to itself, to nothing, or to another name."""
    for query in (f"id={name}", f"channel=a&cname={name}", f"i%64={name}"):
        with pytest.raises(RequestError, match="hexadecimal"):
            asked("/sub", query)
    assert asked("/sub", "id=50%25&other=50%").channels == ("50%",)


def test_the_limit_of_channels_may_be_lower() -> None:
    """So many different ones; the refusal names the setting, and is remembered for no other limit."""
    request, more = get("/sub", "id=a&id=b&id=b"), get("/sub", "id=a&id=b&id=c")
    assert parse_subscribe(request, 2).channels == ("a", "b")
    assert parse_subscribe(more).channels == ("a", "b", "c")
    with pytest.raises(RequestError, match=r"at most 2 channels \(COMET_MAX_CHANNELS\), 3 were asked for") as caught:
        parse_subscribe(more, 2)
    assert (caught.value.status, caught.value.limit) == (400, "max_channels")
