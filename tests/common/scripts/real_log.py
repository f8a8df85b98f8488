"""A channel of a real Redis, and a subscriber of it there."""

import asyncio

from redis.asyncio import Redis

from common.message import Message
from common.names import RedisNames
from common.position import START, Position
from common.redis.pipelines import Pipelines
from common.scripts.calls import Scripts, script_text
from common.scripts.publishing import Outgoing, Publishing
from common.scripts.results import Published, SyncQuery
from common.settings import Settings, load_settings
from edge.chain import proven


class Backend:
    """Publishes one message at a time, as a publisher does."""

    def __init__(self, client: Redis, names: RedisNames, settings: Settings) -> None:
        self._publishing = Publishing(Pipelines(client), names, settings)

    async def publish(self, channel: str, message: Message, *, key: str = "", live: bool = False) -> Published:
        """Publish, and return the result or raise the error."""
        deadline = asyncio.get_running_loop().time() + 60  # which no test reaches
        (result,) = await self._publishing.publish([Outgoing(channel, message, key, live)], deadline)
        if isinstance(result, Exception):
            raise result
        return result


class Log:
    """One channel of a real Redis as publishers write it, edges read it, and an operator breaks it."""

    def __init__(self, client: Redis, prefix: str, history_size: int = 100, channel: str = "room") -> None:
        self.client = client
        self.names = RedisNames(prefix)
        self.channel = channel
        self.top_key, self.log_key = self.names.top(channel), self.names.log(channel)
        settings = load_settings(history_size=history_size, history_ttl=300)
        self.scripts, self.backend = Scripts(client, self.names, settings), Backend(client, self.names, settings)

    async def publish(self, payload: bytes, key: str = "") -> Position:
        """Publish and return the position, which must be there."""
        position = (await self.backend.publish(self.channel, Message(payload), key=key)).position
        assert position is not None
        return position

    async def evaluate(self, payload: str, *options: str | bytes) -> list[bytes | int]:
        """Publish as a backend does that runs the text with EVAL."""
        name = self.names.channel(self.channel)
        return await self.client.eval(script_text("publish"), 1, name, payload, *options)  # type: ignore[misc, no-any-return]

    async def top(self) -> Position:
        """Return where the channel stands."""
        (synced,) = await self.scripts.sync([SyncQuery(self.channel)])
        assert synced.messages == []
        return synced.top

    async def stored(self, since: Position = START) -> list[Message]:
        """Return the stored messages after an offset, proved or not."""
        (synced,) = await self.scripts.sync([SyncQuery(self.channel, since.offset)])
        return synced.messages

    async def recover(self, since: Position) -> list[bytes] | None:
        """Return what a subscriber at a position has missed; None if that cannot be proved, so that it is reset."""
        (synced,) = await self.scripts.sync([SyncQuery(self.channel, since.offset)])
        if not proven(since, synced.top, synced.messages):
            return None
        return [message.payload for message in synced.messages]

    async def keys(self) -> list[bytes | str]:
        """Return the keys in Redis that belong to this deployment."""
        return await self.client.keys(f"*{self.names.prefix}*")


class Listener:
    """A subscriber of a channel in Redis, which reads what is sent."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._pubsub = log.client.pubsub(ignore_subscribe_messages=False)

    async def __aenter__(self) -> "Listener":
        await self._pubsub.subscribe(self._log.names.channel(self._log.channel))
        answer = await self._pubsub.get_message(timeout=5)
        assert answer["type"] == "subscribe"
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._pubsub.aclose()  # type: ignore[no-untyped-call]

    async def received(self) -> list[bytes]:
        """Return all that was sent up to now: what came before an end mark of our own."""
        await self._log.client.publish(self._log.names.channel(self._log.channel), "the end")
        frames: list[bytes] = []
        while True:
            message = await self._pubsub.get_message(timeout=5)
            assert message is not None, "the end mark did not come"
            if message["data"] == b"the end":
                return frames
            frames.append(message["data"])


async def set_clock(client: Redis, microseconds: int) -> None:
    """Set the clock that the scripts read with the fixture `clock_in_a_key`, in microseconds since 1970."""
    seconds, rest = divmod(microseconds, 10**6)
    await client.hset("clock", mapping={"s": seconds, "us": rest})  # type: ignore[misc]


async def fill_memory(log: Log) -> None:
    """Let Redis refuse every command that needs memory."""
    await log.client.config_set("maxmemory-policy", "noeviction")
    await log.client.config_set("maxmemory", 1)


async def free_memory(log: Log) -> None:
    """Let Redis take all memory it likes."""
    await log.client.config_set("maxmemory", 0)
