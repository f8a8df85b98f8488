"""Wiring: the parts of an edge know each other, whatever world they are put into."""

import asyncio
from unittest.mock import Mock

import pytest
from redis import ResponseError

from tests.edge.edge_without_redis import EdgeWithoutRedis, edge_without_redis
from tests.edge.model.client import STREAM, ModelClient
from tests.edge.model.edge import ModelEdge
from tests.edge.model.redis import ModelRedis
from tests.pure_only import pure_only


async def test_what_points_upward_is_set(edge: EdgeWithoutRedis) -> None:
    """Each callback that has a default leads to the part above: none is forgotten."""
    assert edge.seats.on_detach == edge.changes.detach
    assert edge.seats.on_flushed == edge.handler.turns.on_flushed
    assert edge.fanout.on_begun == edge.hub.admit
    assert edge.fanout.on_answered == edge.handler.turns.on_answered
    assert edge.lifecycle._holding.on_early_bytes == edge.handler.on_early_bytes
    assert edge.seat_wheel.on_due == edge.handler.on_due


async def test_what_has_been_sent_in_part_has_its_budget() -> None:
    """The limit is that of the settings."""
    async with edge_without_redis(input_bytes=100_000) as edge:
        assert edge.seats.inbox.max_bytes == 100_000


async def test_the_options_reach_the_parts(edge: EdgeWithoutRedis) -> None:
    """A plain message of more than the largest size is dropped, and counted."""
    client = await edge.held("/sub?id=room")
    for payload in (b"x" * 1001, b"x" * 1000):
        edge.hub.on_message(b"t:room", payload)
    edge.hub.on_read_end()
    assert b"x" * 1000 in await client.until(b"}\n\r\n")
    assert edge.counters.dropped_total["too_large"] == 1


@pure_only
def test_without_an_adopt_script_there_is_no_adopter() -> None:
    """Where plain messages are live only, none is kept back to be stored."""
    assert ModelEdge(ModelRedis()).adopter is None
    assert ModelEdge(ModelRedis(), adopts=True).adopter is not None


@pure_only
async def test_plain_messages_that_cannot_be_stored_reach_their_subscribers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The adopter hands them to the fan-out, without a position, and counts them."""
    redis = ModelRedis()
    edge, client = ModelEdge(redis, adopts=True), ModelClient(redis, ("room",), STREAM)
    edge.connect()
    edge.attach(client)
    edge.settle()
    monkeypatch.setattr(redis, "adopt", Mock(side_effect=ResponseError("NOPERM")))
    redis.send("room", b"plain")
    edge.settle()
    for _ in range(5):
        await asyncio.sleep(0)
    edge.settle()
    assert client.got["room"] == ["plain"]
    assert edge.counters.not_adopted_total["refused"] == 1
