"""Answers that hold no subscriber: what they say, and what becomes of the connection."""

import pytest

from tests.edge.edge_without_redis import EdgeWithoutRedis
from tests.edge.http_client import head


@pytest.mark.parametrize("closing", [False, True])
async def test_a_refusal_keeps_a_connection_that_may_go_on(edge: EdgeWithoutRedis, closing: bool) -> None:
    """A request that was read well leaves its connection to the next, unless the client said otherwise."""
    client = await edge.connect()
    answer = await client.ask(head("/nowhere", *(["Connection: close"] if closing else [])))
    assert (answer.status, answer.json["code"]) == (404, 404)
    if closing:
        assert await client.rest() == b""
    else:
        assert (await client.ask(head("/nowhere"))).status == 404


@pytest.mark.parametrize(("status", "again"), [(400, False), (408, False), (503, True)])
async def test_what_is_no_whole_request_ends_its_connection(edge: EdgeWithoutRedis, status: int, again: bool) -> None:
    """Only a refusal that time heals says when to come again."""
    client = await edge.connect()
    (seat,) = edge.seats
    edge.handler.answers.refuse_last(seat, status, "why")
    answer = await client.answer()
    assert (answer.status, answer.json["content"], "retry-after" in answer.headers) == (status, "why", again)
    assert answer.headers["connection"] == "close"
    assert await client.rest() == b""
    assert edge.counters.refused_total[status] == 1
