"""Held polls whose channels change: each is answered with the acknowledgements and what it missed."""

from tests.edge.change_requests import OWN, post, posted, sub, unsub
from tests.edge.edge_without_redis import EdgeWithoutRedis
from tests.edge.http_client import head
from tests.edge.usual_log import GENESIS

NOWHERE = f"0-{GENESIS}"


async def test_a_held_poll_is_answered_by_its_change(edge: EdgeWithoutRedis) -> None:
    """Acknowledgements first, then what was missed; the position names the channels and leads on."""
    edge.logs.append("b", b"old")
    client = await edge.held(f"/poll?id=a&session={OWN}", transport="poll")
    operations = [sub("b", since="0", ref=1), unsub("x"), sub("a"), {"op": "ping"}]
    answer = await post(edge, OWN, operations)
    assert answer.json == {"type": "ack", "channels": ["a", "b"]}
    got = (await client.answer()).json
    assert got["seq"] == f"a={NOWHERE}&b=1-101"
    assert got["session"] == OWN
    assert [(each["type"], each.get("id"), each.get("seq")) for each in got["messages"]] == [
        ("welcome", "b", NOWHERE),
        ("unsub", "x", None),
        ("welcome", "a", NOWHERE),
        ("pong", None, None),
        ("data", "b", "1-101"),
    ]
    edge.publish("b", b"next")
    since = got["seq"].replace("=", "%3D").replace("&", "%26")
    answer = await client.ask(head(f"/poll?id=a&session={OWN}&since={since}"))
    assert [each["content"] for each in answer.json["messages"]] == ["next"]
    assert answer.json["seq"] == f"a={NOWHERE}&b=2-102"
    assert edge.counters.held("poll") == 0


async def test_a_changed_poll_is_counted_once_on_each_channel(edge: EdgeWithoutRedis) -> None:
    """While it is held, when the change has answered it, and when it is back for both channels."""
    client = await edge.connect()
    await client.ask(head(f"/poll?id=a&session={OWN}&timeout=0"))
    await client.send(head(f"/poll?id=a&session={OWN}"))
    await edge.until(lambda: edge.counters.held("poll"))
    assert (await post(edge, OWN, sub("b"))).json["channels"] == ["a", "b"]
    assert (await client.answer()).status == 200
    for _ in range(2):
        assert [edge.hub.channels[name].subscribers(edge.clock()) for name in "ab"] == [1, 1]
        await edge.held(f"/poll?id=a&id=b&session={OWN}", transport="poll")


async def test_a_changed_poll_that_finds_no_redis_is_sent_away(edge: EdgeWithoutRedis) -> None:
    """It is asked again in its place, and fares like any poll: 503; the client that changed it gets 404."""
    client = await edge.held(f"/poll?id=a&session={OWN}", transport="poll")
    edge.pubsub.acknowledging = False
    poster = await edge.connect()
    await poster.send(posted(OWN, sub("b")))
    await edge.until(lambda: len(edge.pubsub.asked) == 2)
    edge.pass_time(3.5)
    assert (await client.answer()).status == 503
    assert (await poster.answer()).status == 404
    assert edge.sessions.find(OWN) is None


async def test_a_poll_that_is_answered_meanwhile_is_not_held(edge: EdgeWithoutRedis) -> None:
    """A message may come first."""
    await edge.held(f"/poll?id=a&session={OWN}", transport="poll")
    edge.publish("a", b"hi")
    assert (await post(edge, OWN, sub("b"))).status == 404
