"""Adoption against random schedules: several edges, one log, joins, disconnects and interleavings.

The log must hold every bare message that an edge handed in, once, in the order of publication.
"""

import asyncio
import random
from collections.abc import Awaitable

import pytest

from common.scripts import Bare
from edge.channel import Channel, State
from tests.edge.world import STREAM, Client, Edge, Redis

NAME = "room"


class Village:
    """Up to four edges that subscribe to one channel, and a publisher that only knows PUBLISH."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.redis = Redis(history=100_000)
        self.edges = [Edge(self.redis, adopts=True, sleep=self.sleep) for _ in range(chance.randint(1, 4))]
        self.clients = [Client(self.redis, (NAME,), STREAM) for _ in self.edges]
        self.published = 0
        self.handed_in: set[int] = set()
        self.late: set[int] = set()  # seen by an edge that lost its connection while they waited for an older edge
        for edge in self.edges:
            self._watch(edge)

    def _watch(self, edge: Edge) -> None:
        """Note which messages the edge hands in: those it owes to the log."""
        adopter = edge.adopter
        assert adopter is not None
        hand_in = adopter.hand_in

        def noted(channel: Channel, bare: Bare) -> None:
            self.handed_in.add(int(bare.payload))
            hand_in(channel, bare)

        adopter.hand_in = noted  # type: ignore[method-assign]

    def sleep(self, seconds: float) -> Awaitable[None]:
        """Let other tasks run, without waiting for real."""
        return asyncio.sleep(0)

    def publish(self) -> None:
        self.redis.send(NAME, b"%d" % self.published)
        self.published += 1

    async def step(self, drops: float) -> None:
        self.pass_time(0.001)
        index = self.chance.randrange(len(self.edges))
        edge, client, luck = self.edges[index], self.clients[index], self.chance.random()
        if luck < 0.25:
            self.publish()
        elif luck < 0.25 + drops:
            self.late |= self.waiting_at(edge)
            edge.disconnect()
        elif edge.wire is None:
            if self.chance.random() < 0.3:
                edge.connect()
        elif client.edge is None:
            edge.attach(client)
        elif luck < 0.6:
            edge.deliver(self.chance.randint(1, 3))
        elif luck < 0.7:
            edge.execute_reads()
        elif luck < 0.8:
            edge.answer_reads()
        else:
            await asyncio.sleep(0)

    def pass_time(self, seconds: float) -> None:
        self.redis.now += seconds
        for edge in self.edges:
            edge.now += seconds

    async def settle(self) -> None:
        """Deliver everything to the edges that are connected, for a second: until whoever has to insist has done so."""
        for _ in range(1000):
            self.pass_time(0.001)
            for edge in self.edges:
                edge.deliver(10_000)
                edge.execute_reads()
                edge.answer_reads()
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    @property
    def log(self) -> list[int]:
        return [int(message.payload) for message in self.redis.log(NAME).entries]

    def waiting_at(self, edge: Edge) -> set[int]:
        assert edge.adopter is not None
        return {int(handed.bare.payload) for queue in edge.adopter._queues.values() for handed in queue}

    def waits(self) -> bool:
        """Whether an edge still has messages in its hands."""
        return any(map(self.waiting_at, self.edges))


async def tell_story(seed: int, *, steps: int, drops: float) -> Village:
    """Run one random story to its end."""
    village = Village(random.Random(seed))
    for _ in range(steps):
        await village.step(drops)
    await village.settle()
    return village


@pytest.mark.parametrize("seed", range(150))
async def test_without_losses_the_log_is_the_sequence_that_joined_edges_saw(seed: int) -> None:
    """Edges join at random and lag at random: each message they count is stored once, in order, and reaches all."""
    village = await tell_story(seed, steps=400, drops=0)

    assert not village.waits()
    assert sorted(village.handed_in) == village.log
    for client in village.clients:
        if client.edge is not None:
            assert (
                client.got[NAME]
                == [str(number) for number in village.log[-len(client.got[NAME]) :]][: len(client.got[NAME])]
            )


@pytest.mark.parametrize("seed", range(150))
async def test_with_disconnects_nothing_handed_in_is_lost_doubled_or_swapped(seed: int) -> None:
    """Edges also drop and come back: after those that wait have insisted, the log holds all they owe, in order.

    Only where an edge lost its connection with messages in its hands may these, and what waited for them, come late.
    """
    village = await tell_story(seed, steps=400, drops=0.01)
    log = village.log

    assert not village.waits()
    assert len(log) == len(set(log))
    assert set(log) == village.handed_in
    assert log == sorted(log) or village.late


async def test_a_wiped_log_lets_messages_out_live_and_the_edge_joins_again() -> None:
    """When Redis forgets the count, what was on its way is delivered without a position, and counting goes on."""
    village = Village(random.Random(1))
    village.edges = village.edges[:1]
    edge, client = village.edges[0], village.clients[0]
    edge.connect()
    edge.attach(client)
    await village.settle()
    village.redis.wipe()
    village.publish()
    await village.settle()
    village.publish()
    await village.settle()

    assert client.got[NAME] == ["0", "1"]
    assert village.log == [1]
    assert edge.counters.not_adopted_total["lost"] == 1
    assert edge.hub.channels[NAME].state is State.LIVE
