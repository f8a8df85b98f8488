"""Following: what all rings of an edge hold together is bounded, whatever is published, and is given back."""

import pytest

from tests.edge.building import small_edge

LARGE = b"x" * 900


async def test_the_rings_of_all_channels_are_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """When they are full a channel remembers little more than its newest message; nobody misses one."""
    monkeypatch.setattr("edge.channel_log.MAX_ALL_RINGS_BYTES", 20_000)
    async with small_edge() as edge:
        for number in range(20):
            name = f"room{number}"
            client = await edge.held(f"/sub?id={name}")
            edge.publish(name, *[LARGE] * 40)
            for _ in range(40):
                await client.until(LARGE)
        rings = [channel.ring_bytes for channel in edge.hub.channels.values()]
        assert sum(rings) > 10_000
        assert sum(rings) < 20_000 + 20 * 4096
        assert all(rings)
        assert sum(rings) == edge.hub._tracker._rules.ring_bytes


async def test_a_channel_that_goes_gives_its_share_back() -> None:
    """After the linger, and after a reset, what it held is free for others."""
    async with small_edge(linger=1.0) as edge:
        client = await edge.held("/sub?id=room")
        edge.publish("room", LARGE, LARGE)
        await client.until(LARGE)
        assert edge.hub._tracker._rules.ring_bytes > 1800
        client.close()
        await edge.until(lambda: not edge.hub.channels["room"].is_occupied)
        edge.pass_time(2.0)
        assert edge.hub._tracker._rules.ring_bytes == 0
