"""Adoption against random schedules: several edges, one log, joins, disconnects and interleavings.

The log must hold every bare message that an edge handed in, once, in the order of publication.
"""

import asyncio
import random
from collections.abc import Awaitable

import pytest

from common.scripts.results import Bare
from edge.state import Channel
from tests.edge.model.client import STREAM, ModelClient
from tests.edge.model.edge import ModelEdge
from tests.edge.model.redis import ModelRedis
from tests.pure_only import pure_only

pytestmark = pure_only  # its seats have no sockets

NAME = "room"
FEW = 4  # edges; many have so few steps each that they lag far behind


class AdoptingCluster:
    """Some edges that subscribe to one channel, and a publisher that only knows PUBLISH.

    `owed` is what the edges handed in: the log must come to hold it. What was published before the last wipe may be in
    the log or not: the clients that needed it were reset.
    """

    def __init__(self, chance: random.Random, edges: int) -> None:
        self.chance = chance
        self.redis = ModelRedis(history=100_000)
        self.edges = [ModelEdge(self.redis, adopts=True, sleep=self.sleep) for _ in range(edges)]
        self.clients = [ModelClient(self.redis, (NAME,), STREAM) for _ in self.edges]
        self.published = self.wiped_at = 0
        self.kept = self.redis.snapshot()
        self.turned_back = False  # Redis' clock, while it lost its data
        self.owed: set[int] = set()
        self.live: set[int] = set()  # what an edge sent out live
        self.dropped: set[int] = set()  # what an edge had in its hands when it lost its connection
        for edge in self.edges:
            self._watch(edge)

    def _watch(self, edge: ModelEdge) -> None:
        """Note which messages the edge hands in, and which it sends out live."""
        adopter = edge.adopter
        assert adopter is not None
        hand_in, send_live = adopter.hand_in, adopter._deliver

        def note_owed(channel: Channel, bare: Bare) -> None:
            self.owed.add(int(bare.payload))
            hand_in(channel, bare)

        def note_live(name: str, messages: list[bytes]) -> None:
            self.live |= set(map(int, messages))
            send_live(name, messages)

        adopter.hand_in = note_owed  # type: ignore[method-assign]
        adopter._deliver = note_live

    def sleep(self, seconds: float) -> Awaitable[None]:
        """Let other tasks run, without waiting for real."""
        return asyncio.sleep(0)

    def publish(self) -> None:
        self.redis.send(NAME, b"%d" % self.published)
        self.published += 1

    def wipe(self) -> None:
        """Lose the log, which must have been in order up to here, while all edges stay connected."""
        self.check_log()
        self.wiped_at = self.published
        self.redis.wipe()

    def keep(self) -> None:
        self.kept = self.redis.snapshot()

    def roll_back(self) -> None:
        """Restart with an older state, or get it while all edges stay connected."""
        self.check_log()
        self.wiped_at = self.published
        if self.chance.random() < 0.7:
            for edge in self.edges:
                self.drop(edge)
        self.redis.restore(self.kept)

    def drop(self, edge: ModelEdge) -> None:
        self.dropped |= self.waiting_at(edge)
        edge.disconnect()

    async def step(self, drops: float, wipes: float, turns_back: float, rolls_back: float) -> None:
        self.pass_time(0.001)
        index = self.chance.randrange(len(self.edges))
        edge, client, luck = self.edges[index], self.clients[index], self.chance.random()
        if self.chance.random() < wipes:
            self.wipe()
            if self.chance.random() < turns_back:
                self.turned_back = True
                self.redis.pass_time(-3)  # further than the story is long: an epoch must not be met again by chance
        elif rolls_back and self.chance.random() < rolls_back:
            self.chance.choice([self.keep, self.roll_back])()
        elif luck < 0.25:
            self.publish()
        elif luck < 0.25 + drops:
            self.drop(edge)
        else:
            await self.go_on(edge, client, luck)

    async def go_on(self, edge: ModelEdge, client: ModelClient, luck: float) -> None:
        """Let one edge do one thing."""
        if edge.connection is None:
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
        self.redis.pass_time(seconds)
        for edge in self.edges:
            edge.now += seconds

    async def settle(self) -> None:
        """Deliver everything to the edges that are connected, until no message waits to be handed in again."""
        for _ in range(2000):
            if not self.is_busy():
                break
            self.pass_time(0.001)
            for edge in self.edges:
                edge.deliver(10_000)
                edge.execute_reads()
                edge.answer_reads()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        for edge in self.edges:
            edge.audit()
            edge.execute_reads()
            edge.answer_reads()

    @property
    def log(self) -> list[int]:
        return [int(message.payload) for message in self.redis.log(NAME).entries]

    def waiting_at(self, edge: ModelEdge) -> set[int]:
        assert edge.adopter is not None
        return {int(handed.bare.payload) for queue in edge.adopter._queues.values() for handed in queue}

    def waits(self) -> bool:
        """Whether an edge still has messages in its hands."""
        return any(map(self.waiting_at, self.edges))

    def is_busy(self) -> bool:
        """Whether anything is on its way to, from or in an edge that is connected."""
        under_way = (edge.connection.queue or edge.requests or edge.replies for edge in self.edges if edge.connection)
        return any(under_way) or self.waits()

    def check_log(self) -> None:
        """Each message is in the log once, in the order of publication.

        What an edge had in its hands when it lost its connection may be late, and what waited for it; after a wipe what
        was published before; and what is handed in by an edge that lags behind by more than others wait. If the clock
        was turned back in the wipe, it cannot be known for how long to wait.
        """
        assert len(self.log) == len(set(self.log))
        since_wipe = [number for number in self.log if number >= self.wiped_at]
        assert since_wipe == sorted(since_wipe) or self.dropped or self.turned_back or len(self.edges) > FEW

    def check_clients(self) -> None:
        """Every connected client stands at the top of the log, through a chain or a reset."""
        for client in self.clients:
            if client.edge is not None and client.edge.connection is not None:
                assert client.is_whole
                assert client.at[NAME] == self.redis.top(NAME)


async def tell_story(
    seed: int,
    *,
    steps: int = 400,
    edges: int = 0,
    drops: float = 0,
    wipes: float = 0,
    turns_back: float = 0,
    rolls_back: float = 0,
) -> AdoptingCluster:
    """Run one random story to its end."""
    chance = random.Random(seed)
    cluster = AdoptingCluster(chance, edges or chance.randint(1, FEW))
    for _ in range(steps):
        await cluster.step(drops, wipes, turns_back, rolls_back)
    await cluster.settle()
    assert not cluster.waits()
    cluster.check_log()
    cluster.check_clients()
    return cluster


@pytest.mark.parametrize("seed", range(150))
async def test_without_losses_the_log_is_the_sequence_that_joined_edges_saw(seed: int) -> None:
    """Edges join at random and lag at random: each message they count is stored once, in order, and reaches all."""
    cluster = await tell_story(seed)

    assert sorted(cluster.owed) == cluster.log
    assert not cluster.live
    for client in cluster.clients:
        if client.edge is not None:
            assert (
                client.got[NAME]
                == [str(number) for number in cluster.log[-len(client.got[NAME]) :]][: len(client.got[NAME])]
            )


@pytest.mark.parametrize("seed", range(150))
async def test_with_disconnects_nothing_handed_in_is_lost_doubled_or_swapped(seed: int) -> None:
    """Edges also drop and come back: after every message was handed in again, the log holds all they owe, in order.

    Only where an edge lost its connection with messages in its hands may these, and what waited for them, come late.
    """
    cluster = await tell_story(seed, drops=0.01)

    assert set(cluster.log) == cluster.owed
    assert not cluster.live


@pytest.mark.parametrize("turns_back", [0, 0.5], ids=["right clocks", "a clock turned back"])
@pytest.mark.parametrize("drops", [0, 0.01], ids=["connected", "with disconnects"])
@pytest.mark.parametrize("seed", range(40))
async def test_after_a_wipe_everything_that_is_published_is_stored(seed: int, drops: float, turns_back: float) -> None:
    """Redis loses its data again and again while edges are connected: they count on, and nothing goes out live.

    What was published before a wipe may be stored again after it, once.
    """
    cluster = await tell_story(seed, drops=drops, wipes=0.01, turns_back=turns_back)

    assert {number for number in cluster.owed if number >= cluster.wiped_at} <= set(cluster.log) <= cluster.owed
    assert not cluster.live


@pytest.mark.parametrize("drops", [0, 0.01], ids=["connected", "with disconnects"])
@pytest.mark.parametrize("seed", range(100))
async def test_after_a_roll_back_everything_that_is_published_is_stored(seed: int, drops: float) -> None:
    """Redis goes back to an older state again and again: no epoch that was used after that state is used twice.

    Unless the first edge to join does not know of it: one that is new, or was far behind.
    """
    cluster = await tell_story(seed, drops=drops, rolls_back=0.02)

    owed = {number for number in cluster.owed if number >= cluster.wiped_at}
    assert cluster.redis.used_twice or owed <= set(cluster.log) <= cluster.owed
    assert all(number < cluster.wiped_at for number in cluster.live)  # its subscribers were reset


@pytest.mark.parametrize("seed", range(2))
async def test_forty_edges_are_like_four(seed: int) -> None:
    """There are dozens of joins while an edge has a message in its hands: it is stored, once."""
    cluster = await tell_story(seed, steps=3000, edges=45)

    assert sorted(cluster.log) == sorted(cluster.owed)
    assert not cluster.live


@pytest.mark.parametrize("seed", range(2))
async def test_an_edge_that_missed_very_many_joins_loses_nothing(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it hands in when the count of its epoch was forgotten goes out live: maybe twice, but it is not lost."""
    monkeypatch.setattr("tests.edge.model.redis.RECENT_EPOCHS", 32)
    cluster = await tell_story(seed, steps=3000, edges=45, drops=0.02)

    assert cluster.live
    assert set(cluster.log) | cluster.live == cluster.owed
