"""Server-Sent Events."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge.framing.http import Variant
from edge.framing.items import Item, ItemKind
from edge.framing.sse import sse_event
from edge.framing.transports import framing_for
from tests.edge.framing.reading import Event, read_chunks, read_response, read_retry, read_sse

TEXT = st.text(st.one_of(st.sampled_from("\r\n\0 :\u2028\ufeffdi"), st.characters(exclude_categories=("Cs",))))
HI = Item(ItemKind.DATA, "room", "hi", "3-103", "3-103")
RAW = Variant(chunked=False)


def normalised(text: str) -> str:
    """Return a text with every line break as LF."""
    return re.sub(r"\r\n|\r", "\n", text)


@pytest.mark.parametrize(
    ("data", "event"),
    [
        ("hi", b"data: hi\n\n"),
        ("", b"data: \n\n"),
        ("a\nb", b"data: a\ndata: b\n\n"),
        ("a\rb", b"data: a\ndata: b\n\n"),
        ("a\r\nb", b"data: a\ndata: b\n\n"),
        ("a\n\rb", b"data: a\ndata: \ndata: b\n\n"),
        ("a\r\r\nb", b"data: a\ndata: \ndata: b\n\n"),
        ("a\n", b"data: a\ndata: \n\n"),
        ("\n", b"data: \ndata: \n\n"),
        ("\r\n\r\nid: 9-9", b"data: \ndata: \ndata: id: 9-9\n\n"),
        (" hi", b"data:  hi\n\n"),
        (":", b"data: :\n\n"),
        ("a\u2028b\x0bc\x85", "data: a\u2028b\x0bc\x85\n\n".encode()),
    ],
)
def test_every_line_break_starts_a_new_data_line(data: str, event: bytes) -> None:
    """CR, LF and CRLF are line breaks, and nothing else is."""
    assert sse_event(data) == event


def test_an_event_has_an_id_and_a_name() -> None:
    """The position comes first, then the name, then the data."""
    assert sse_event("hi", name="news", event_id="3-103") == b"id: 3-103\nevent: news\ndata: hi\n\n"


@pytest.mark.parametrize("name", ["news\ndata: forged", "news\rid: 9-9", "news\r\n\r\n", "news\0"])
def test_a_name_cannot_forge_a_field(name: str) -> None:
    """A name or an id ends at the first character that would end its line."""
    assert sse_event("hi", name=name, event_id=name) == b"id: news\nevent: news\ndata: hi\n\n"


def test_a_heartbeat_as_an_event_reads_back() -> None:
    """It is an event for a page, and moves no position: it has no id."""
    framing = framing_for("sse", RAW._replace(heartbeat_as_event=True))
    assert read_sse(framing.heartbeat.decode()) == [Event("", "heartbeat", "")]
    assert framing.encode([HI], "") == framing_for("sse", RAW).encode([HI], "")


@given(data=TEXT, name=st.sampled_from(["", "news", "ü"]), event_id=st.sampled_from(["", "3-103", "1-101,2-102"]))
@example(data="\n\ndata: x\nid: 9-9\nevent: y\nretry: 1\n\n", name="", event_id="3-103")
def test_an_event_reads_back(data: str, name: str, event_id: str) -> None:
    """A parser made from the standard gets the data, its line breaks as LF, and exactly the id and name given."""
    text = sse_event(data, name=name, event_id=event_id).decode()
    assert read_sse(text) == [Event(normalised(data), name, event_id)]
    assert read_retry(text) == []


@given(data=TEXT, name=TEXT, event_id=TEXT)
def test_nothing_in_an_event_breaks_out_of_it(data: str, name: str, event_id: str) -> None:
    """Whatever data, name and id hold, it is one event with that data, and the next one is not touched."""
    text = (sse_event(data, name=name, event_id=event_id) + sse_event("next", event_id="4-104")).decode()
    first, second = read_sse(text)
    assert first.data == normalised(data)
    assert second == Event("next", "", "4-104")
    assert read_retry(text) == []


@pytest.mark.parametrize(
    ("item", "variant", "expected"),
    [
        (HI, Variant(), Event("hi", "", "3-103")),
        (HI._replace(event="news"), Variant(), Event("hi", "news", "3-103")),
        (HI._replace(cursor="3-103,7-9"), Variant(), Event("hi", "", "3-103,7-9")),
        (Item(ItemKind.DATA, "room", "live"), Variant(), Event("live", "", "")),
        (Item(ItemKind.DATA, "room"), Variant(), Event("", "", "")),
        (
            HI,
            Variant(envelope=True),
            Event('{"type":"data","id":"room","content":"hi","seq":"3-103"}', "", "3-103"),
        ),
        (
            HI._replace(event="news"),
            Variant(envelope=True, omit_event_name=True),
            Event('{"type":"data","id":"room","content":"hi","seq":"3-103","event":"news"}', "", "3-103"),
        ),
        (
            Item(ItemKind.RESET, "room", seq="5-105", cursor="5-105"),
            Variant(),
            Event('{"type":"reset","id":"room","seq":"5-105"}', "reset", "5-105"),
        ),
        (
            Item(ItemKind.WELCOME, "room", "hello world!", "3-103", "3-103"),
            Variant(),
            Event('{"type":"welcome","id":"room","content":"hello world!","seq":"3-103"}', "welcome", "3-103"),
        ),
    ],
)
def test_sse_carries_content_and_control_objects(item: Item, variant: Variant, expected: Event) -> None:
    """Data is raw, or the object in an envelope; control is an event of its own name with the object as data."""
    body, _ = read_chunks(framing_for("sse", variant).encode([item], ""))
    assert read_sse(body.decode()) == [expected]


def test_an_event_source_is_told_when_to_come_back() -> None:
    """The head of an SSE answer sets the pause before a reconnect, and is no event."""
    body, _ = read_chunks(read_response(framing_for("sse", Variant()).head(3210)).body)
    assert read_retry(body.decode()) == [3210]
    assert read_sse(body.decode()) == []


def test_an_event_source_is_let_go_without_a_word() -> None:
    """The body ends; the browser comes back by itself."""
    assert read_chunks(framing_for("sse", Variant()).farewell("3-103")) == (b"", True)


def test_an_event_source_is_refused_with_a_200_that_ends() -> None:
    """After any other status it would give up for ever: it gets a retry, the sentence as a comment, and the end."""
    answer = read_response(framing_for("sse", Variant()).refusal(503, "no redis\r\ndata: forged\n\n", 4))
    body, ended = read_chunks(answer.body)
    assert answer.status_line == "HTTP/1.1 200 OK"
    assert read_retry(body.decode()) == [4000]
    assert read_sse(body.decode()) == []
    assert b": no redis\n" in body
    assert ended
