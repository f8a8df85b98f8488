"""The forever iframe: whatever a message holds, the page gets it as the argument of one call, and nothing else."""

import json
import re
from html.parser import HTMLParser

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge.framing.http import Variant
from edge.framing.items import Item, ItemKind
from edge.framing.transports import framing_for
from tests.edge.edge_without_redis import EdgeWithoutRedis, edge_without_redis
from tests.edge.framing.reading import read_chunks, read_response
from tests.edge.http_client import head

TEXT = st.lists(
    st.sampled_from(["<", ">", "/", "!--", "-", "\u2028", "\u2029", "\\", '"', "'", "\n", "script", "&lt;"])
    | st.characters(exclude_categories=("Cs",))
).map("".join)
FRAMING = framing_for("iframe", Variant(callback="f"))
CALL = re.compile(r"parent\.f\((.*)\)", re.DOTALL)


class Page(HTMLParser):
    """What a browser makes of the bytes: the scripts, and any other element."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts: list[str] = []
        self.others: list[str] = []
        self._in_script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A script begins, or something that is none."""
        self._in_script = tag == "script"
        (self.scripts if self._in_script else self.others).append("" if self._in_script else tag)

    def handle_endtag(self, tag: str) -> None:
        """A script ends."""
        self._in_script = False

    def handle_data(self, data: str) -> None:
        """The text of a script."""
        if self._in_script:
            self.scripts[-1] += data


def page(data: bytes) -> Page:
    """Read a page."""
    found = Page()
    found.feed(data.decode())
    found.close()
    return found


@given(st.lists(TEXT, min_size=1, max_size=3))
@example(["</script><script>alert(1)</script>"])
@example(["<!--<script>"])
@example(["\u2028\u2029]]>"])
def test_nothing_in_a_message_leaves_its_script(contents: list[str]) -> None:
    """Each message is one script with one call, whose argument is the very object; there is no other element."""
    items = [Item(ItemKind.DATA, content, content, "3-103", event=content) for content in contents]
    body, _ = read_chunks(FRAMING.encode(items, ""))
    found = page(body)
    assert found.others == []
    assert len(found.scripts) == len(contents)
    for script, content in zip(found.scripts, contents, strict=True):
        call = CALL.fullmatch(script)
        assert call
        assert json.loads(call[1])["content"] == content
        assert not set(call[1]) & {"<", ">", "\u2028", "\u2029"}


def test_the_head_lets_the_page_run_its_own_scripts_and_nothing_else() -> None:
    """The policy forbids all else, the type is fixed, and a kilobyte makes browsers begin."""
    answer = read_response(FRAMING.head(3000))
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"] == (
        "default-src 'none'; script-src 'unsafe-inline'; frame-ancestors *"
    )
    body, _ = read_chunks(answer.body)
    assert body.startswith(b"<!doctype html>")
    assert len(body) > 1024
    assert page(body).scripts == []


def test_the_pages_that_may_show_it_are_named() -> None:
    """With an allow-list no other page may."""
    framing = framing_for("iframe", Variant(callback="f", ancestors="'self' https://a.example"))
    policy = read_response(framing.head(3000)).headers["content-security-policy"]
    assert policy.endswith("; frame-ancestors 'self' https://a.example")


@pytest.mark.parametrize("data", [FRAMING.head(3000), FRAMING.refusal(503, "full", 4)])
def test_it_is_out_of_reach_of_an_opener(data: bytes) -> None:
    """In a tab of its own, it and the page that opened it do not know each other; and its type is fixed."""
    headers = read_response(data).headers
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("data", [FRAMING.farewell(""), FRAMING.encode([Item(ItemKind.CLOSE)], "")])
def test_it_says_goodbye_with_a_call(data: bytes) -> None:
    """The page gets a close object."""
    (script,) = page(read_chunks(data)[0]).scripts
    assert '"type":"close"' in script


def test_it_is_refused_with_a_call() -> None:
    """A page cannot see a frame's status: the error is an object, too."""
    answer = read_response(FRAMING.refusal(503, "</script>full", 4))
    assert answer.status_line == "HTTP/1.1 503 Service Unavailable"
    assert answer.headers["retry-after"] == "4"
    (script,) = page(answer.body).scripts
    call = CALL.fullmatch(script)
    assert call
    assert json.loads(call[1]) == {"type": "error", "code": 503, "content": "</script>full"}


# On real connections.


@pytest.mark.parametrize(
    ("target", "function"),
    [
        ("/iframe?id=room", b"comet"),
        ("/iframe?id=room&callback=$a_b1", b"$a_b1"),
        ("/sub?id=room&transport=iframe", b"comet"),
    ],
)
async def test_a_frame_gets_scripts(edge: EdgeWithoutRedis, target: str, function: bytes) -> None:
    """The welcome and each message call the page's function; the page never ends; heartbeats are empty lines."""
    client = await edge.connect()
    await client.send(head(target))
    assert b"text/html" in await client.until(b"\r\n\r\n")
    assert b'<script>parent.%b({"type":"welcome","id":"room"' % function in await client.until(b"</script>\n\r\n")
    edge.publish("room", b"</script>")
    script = (
        b'<script>parent.%b({"type":"data","id":"room","content":"\\u003c/script\\u003e","seq":"1-101"})</script>\n'
    )
    assert script % function in await client.until(b"</script>\n\r\n")
    edge.pass_time(41)
    assert await client.until(b"\n\r\n") == b"1\r\n\n\r\n"


@pytest.mark.parametrize("path", ["/iframe?", "/sub?transport=iframe&"])
@pytest.mark.parametrize("name", ["alert(1)", "opener.document.forms.publish.tick.click", "a.b", "a" * 65])
async def test_a_callback_that_is_none_is_refused(edge: EdgeWithoutRedis, path: str, name: str) -> None:
    """Nothing of the client's choice gets into the script but the plain name of a function of the page around it."""
    client = await edge.connect()
    answer = await client.ask(head(f"{path}id=room&callback={name}"))
    assert (answer.status, answer.headers["content-type"]) == (400, "application/json")
    assert answer.json["content"].startswith("callback: ")


async def test_only_allowed_pages_may_show_it() -> None:
    """A frame's request has no Origin: the browser itself must refuse to show it elsewhere."""
    async with edge_without_redis(allowed_origins=("https://a.example", "https://b.example")) as edge:
        client = await edge.connect()
        await client.send(head("/iframe?id=room"))
        answer = await client.until(b"\r\n\r\n")
        assert b"frame-ancestors 'self' https://a.example https://b.example\r\n" in answer
