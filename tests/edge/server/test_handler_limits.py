"""The limits of requests: each itself is allowed, one more is refused with its status, its setting, and is counted."""

from collections.abc import AsyncIterator, Callable

import pytest

from edge.protocol.limits import InputLimits
from tests.edge.change_requests import OWN, post, sub
from tests.edge.edge_without_redis import EdgeWithoutRedis, edge_without_redis
from tests.edge.http_client import head

LIMITS = InputLimits(
    max_channels=3, max_operations=4, max_head_bytes=2000, max_url_bytes=1500, max_headers=10, max_body_bytes=300
)


@pytest.fixture
async def edge() -> AsyncIterator[EdgeWithoutRedis]:
    """Return an edge with low limits."""
    async with edge_without_redis(limits=LIMITS) as edge:
        yield edge


def channels(count: int) -> bytes:
    """Return a poll of so many channels; one that occurs twice is one."""
    return head("/poll?timeout=0&id=0&" + "&".join(f"id={number}" for number in range(count)))


def url(size: int) -> bytes:
    """Return a poll with a URL of so many bytes."""
    return head("/poll?id=room&timeout=0&x=".ljust(size, "y"))


def whole_head(size: int) -> bytes:
    """Return a poll with a head of so many bytes."""
    request = head("/poll?id=room&timeout=0", "X: ")
    return request[:-4] + b"x" * (size - len(request)) + b"\r\n\r\n"


def headers(count: int) -> bytes:
    """Return a poll with so many headers."""
    return head("/poll?id=room&timeout=0", *["X: y"] * (count - 1))


REQUESTS = {
    "max_channels": (channels, 3, 400),
    "max_url_bytes": (url, 1500, 414),
    "max_head_bytes": (whole_head, 2000, 431),
    "max_headers": (headers, 10, 431),
}


@pytest.mark.parametrize(("limit", "request_of", "most", "status"), [(k, *v) for k, v in REQUESTS.items()])
async def test_a_poll_has_limits(
    edge: EdgeWithoutRedis, limit: str, request_of: Callable[[int], bytes], most: int, status: int
) -> None:
    """By the count of its channels, and by its size."""
    client = await edge.connect()
    assert (await client.ask(request_of(most))).status == 200
    assert edge.counters.limited_total.total() == 0
    answer = await client.ask(request_of(most + 1))
    assert answer.status == status
    assert f"COMET_{limit.upper()}" in answer.json["content"]
    assert str(most) in answer.json["content"]
    assert edge.counters.limited_total[limit] == edge.counters.limited_total.total() == 1
    assert edge.counters.refused_total[status] == 1


@pytest.mark.parametrize(
    ("limit", "allowed", "over", "status"),
    [
        ("max_operations", [{"op": "ping"}] * 4, [{"op": "ping"}] * 5, 400),
        ("max_body_bytes", b'[{"op":"ping"}]'.ljust(300), b'[{"op":"ping"}]'.ljust(301), 413),
    ],
)
async def test_a_change_has_limits(
    edge: EdgeWithoutRedis, limit: str, allowed: object, over: object, status: int
) -> None:
    """By the count of its operations, and by its size."""
    await edge.held(f"/poll?id=room&session={OWN}", transport="poll")
    answer = await post(edge, OWN, over)
    assert (answer.status, f"COMET_{limit.upper()}" in answer.json["content"]) == (status, True)
    assert edge.counters.limited_total[limit] == edge.counters.limited_total.total() == 1
    assert (await post(edge, OWN, allowed)).status == 200


async def test_a_poll_is_not_given_more_channels_than_it_may_have(edge: EdgeWithoutRedis) -> None:
    """The one too many is refused in its answer, and counted."""
    poll = await edge.held(f"/poll?id=a&session={OWN}", transport="poll")
    assert (await post(edge, OWN, [sub(name) for name in "bcd"])).json["channels"] == ["a", "b", "c"]
    told = (await poll.answer()).json["messages"]
    assert [(each["type"], each["id"]) for each in told] == [("welcome", "b"), ("welcome", "c"), ("error", "d")]
    assert "at most 3 channels (COMET_MAX_CHANNELS)" in told[-1]["content"]
    assert edge.counters.limited_total["max_channels"] == 1


async def test_another_edge_may_allow_more_operations() -> None:
    """What it has let through is carried out: while a setting is changed, edges differ."""
    async with edge_without_redis(limits=LIMITS) as edge:
        await edge.held(f"/poll?id=room&session={OWN}", transport="poll")
        changed = await edge.forwarder.on_change({"session": OWN, "ops": [{"op": "ping"}] * 20})
        assert changed == {"channels": ["room"]}
