"""A subscriber's life on real connections: its greatest age."""

from tests.edge.edge_without_redis import head, small_edge


async def test_a_stream_ends_when_it_is_old_enough() -> None:
    """With a greatest age of 100 seconds a stream lives 80 to 120 of them, heartbeats in between."""
    async with small_edge(max_age=100.0) as edge:
        client = await edge.held("/sub?id=room")
        edge.pass_time(79.0)
        await edge.turns()
        assert len(edge.seats) == 1
        edge.pass_time(42.0)
        assert b'"type":"close"' in await client.rest()
        assert edge.counters.closed_total["stream", "max_age"] == 1


async def test_connections_that_came_together_do_not_end_together() -> None:
    """Their greatest ages differ by up to a fifth of it, either way."""
    async with small_edge(max_age=100.0) as edge:
        for _ in range(60):
            await edge.held("/sub?id=room")
        ages = [seat.expires - edge.clock.now for seat in edge.seats]
        assert 80 <= min(ages) < 90
        assert 110 < max(ages) <= 120


async def test_an_old_pollers_next_answer_is_its_connections_last() -> None:
    """A long-poll connection is closed where it costs nothing: after an answer that says so."""
    async with small_edge(max_age=10.0) as edge:
        client = await edge.connect()
        await client.send(head("/poll?id=room&timeout=0"))
        assert "connection" not in (await client.answer()).headers
        edge.pass_time(13.0)
        await client.send(head("/poll?id=room&timeout=0"))
        assert (await client.answer()).headers["connection"] == "close"
