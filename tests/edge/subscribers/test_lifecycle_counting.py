"""How often a long-poll client is counted, on real connections: once, while it is held and for a while after that."""

import pytest

from tests.edge.edge_without_redis import EdgeWithoutRedis
from tests.edge.http_client import head

POLL = "/poll?id=room"


async def test_a_poller_between_two_polls_is_connected(edge: EdgeWithoutRedis) -> None:
    """A client that was answered counts until the linger is over, and only once when it comes back."""
    client = await edge.held(POLL, transport="poll")
    edge.publish("room", b"hi")
    answer = await client.answer()
    room = edge.hub.channels["room"]
    assert room.subscribers(edge.clock()) == 1
    await client.send(head(f"{POLL}&since={answer.json['seq']}"))
    await edge.until(lambda: edge.counters.held("poll"))
    assert room.subscribers(edge.clock()) == 1


async def test_a_poller_that_polls_in_a_loop_is_counted_once(edge: EdgeWithoutRedis) -> None:
    """Also without a position; when its connection is closed, held or not, it counts until the linger is over."""
    client = await edge.connect()
    for _ in range(20):
        await client.ask(head(f"{POLL}&timeout=0"))
    room = edge.hub.channels["room"]
    assert room.subscribers(edge.clock()) == 1
    await client.send(head(POLL))
    await edge.until(lambda: edge.counters.held("poll"))
    assert room.subscribers(edge.clock()) == 1
    client.close()
    await edge.until(lambda: not edge.seats)
    assert room.subscribers(edge.clock()) == 1
    edge.pass_time(28.0)
    assert room.subscribers(edge.clock()) == 1
    edge.pass_time(3.5)
    assert room.subscribers(edge.clock()) == 0


@pytest.mark.parametrize("header", ["Connection: close", "X: y"])
async def test_a_poller_with_a_new_connection_for_each_poll_is_counted_once(
    edge: EdgeWithoutRedis, header: str
) -> None:
    """Its position tells who it is."""
    since = ""
    for number in range(10):
        client = await edge.connect()
        answer = await client.ask(head(f"{POLL}&timeout=0{since}", header))
        since = f"&since={answer.json['seq']}"
        assert edge.hub.channels["room"].subscribers(edge.clock()) == 1
        client.close()
        await edge.until(lambda: not edge.seats)
        edge.publish("room", b"%d" % number)


async def test_a_poll_that_its_session_gives_up_is_counted_once(edge: EdgeWithoutRedis) -> None:
    """The next poll of the session answers it, on whatever connection, and is the same client's."""
    for _ in range(3):
        await edge.held(f"{POLL}&session=a-session-of-my-own", transport="poll")
        assert edge.hub.channels["room"].subscribers(edge.clock()) == 1
    edge.publish("room", b"hi")
    assert edge.hub.channels["room"].subscribers(edge.clock()) == 1


async def test_evicted_pollers_count_as_before(edge: EdgeWithoutRedis) -> None:
    """A poll that ends with the edge's goodbye puts back what stood for its client, whose time is not prolonged."""
    client = await edge.connect()
    await client.ask(head(f"{POLL}&timeout=0"))
    edge.pass_time(20.0)
    await client.send(head(POLL))
    await edge.until(lambda: edge.counters.held("poll"))
    edge.lifecycle.evict_all()
    room = edge.hub.channels["room"]
    assert room.subscribers(edge.clock()) == 1
    edge.pass_time(11.5)
    assert room.subscribers(edge.clock()) == 0
