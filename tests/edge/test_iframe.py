"""The forever iframe on real connections."""

import pytest

from tests.edge.building import SmallEdge, head, small_edge


@pytest.mark.parametrize(
    ("target", "function"),
    [
        ("/iframe?id=room", b"comet"),
        ("/iframe?id=room&callback=a.b", b"a.b"),
        ("/sub?id=room&transport=iframe", b"comet"),
    ],
)
async def test_a_frame_gets_scripts(edge: SmallEdge, target: str, function: bytes) -> None:
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


async def test_a_callback_that_is_none_is_refused(edge: SmallEdge) -> None:
    """Nothing of the client's choice gets into the script but a function's name."""
    client = await edge.connect()
    answer = await client.ask(head("/iframe?id=room&callback=alert(1)"))
    assert (answer.status, answer.headers["content-type"]) == (400, "application/json")


async def test_only_allowed_pages_may_show_it() -> None:
    """A frame's request has no Origin: the browser itself must refuse to show it elsewhere."""
    async with small_edge(allowed_origins=("https://a.example", "https://b.example")) as edge:
        client = await edge.connect()
        await client.send(head("/iframe?id=room"))
        answer = await client.until(b"\r\n\r\n")
        assert b"frame-ancestors 'self' https://a.example https://b.example\r\n" in answer


async def test_without_redis_a_frame_is_told_so(edge: SmallEdge) -> None:
    """The error is a call, too."""
    edge.pubsub.acknowledging = False
    client = await edge.connect()
    await client.send(head("/iframe?id=room&callback=f"))
    await edge.until(lambda: edge.pubsub.asked)
    edge.pass_time(3.5)
    answer = await client.answer()
    assert answer.status == 503
    assert b'<script>parent.f({"type":"error","code":503' in answer.body
