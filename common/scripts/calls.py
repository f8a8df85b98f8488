"""Typed calls that run the Redis scripts."""

from collections.abc import Sequence
from typing import Any, cast

from redis.asyncio import Redis

from common.message import Message, encode_frame
from common.names import RedisNames
from common.position import Position
from common.scripts.library import LIBRARY, Deployment, deployments_in, functions_text, lua_string, script_text
from common.scripts.results import (
    Adopted,
    AdoptionState,
    Bare,
    Published,
    SyncOutcome,
    SyncQuery,
    parse_seq,
    parse_sync_answer,
)
from common.settings import Settings

ONCE_TTL = 300  # seconds a publish with an idempotency key is remembered
DAY = 86400
TRIM_SLACK = 128  # XADD MAXLEN ~ keeps up to a stream node (100 entries) more than it was told


class Scripts:
    """Runs the scripts of one deployment; every call may raise `redis.RedisError`."""

    def __init__(self, redis: Redis, names: RedisNames, settings: Settings) -> None:
        self._redis = redis
        self._names = names
        self._history_size = settings.history_size
        self._history_ttl = settings.history_ttl
        self._deployment = Deployment(settings.max_message_bytes, settings.history_size, settings.history_ttl)
        self._most_entries = settings.history_size + TRIM_SLACK
        self._publish = redis.register_script(script_text("publish", self._history_size, self._history_ttl))
        self._sync = redis.register_script(script_text("sync"))
        self._adopt = redis.register_script(script_text("adopt"))

    async def publish(self, channel: str, message: Message, *, key: str = "", live: bool = False) -> Published:
        """Publish one message, with history unless `live` (or the deployment keeps none).

        `key` makes a retry safe: the same key on the same channel gets the first answer for five minutes.
        """
        if live or self._history_size == 0:
            edges = await self._redis.publish(self._names.channel(channel), encode_frame(message))
            return Published(None, edges)
        arguments: list[Any] = [message.payload]
        options = {"event": message.event, "inbox": message.inbox, "key": key, "expires": message.expires}
        for name, value in options.items():
            if value:
                arguments += (name, value)
        if key:
            arguments += ("once", ONCE_TTL)
        seq, edges = await self._publish(keys=[self._names.channel(channel)], args=arguments)
        if int(edges) < 0:
            return await self._first(channel, key, parse_seq(seq))
        return Published(parse_seq(seq), int(edges))

    async def _first(self, channel: str, key: str, position: Position) -> Published:
        """Return what became of the first publish with a key, as far as it is known."""
        known = (await self._redis.get(self._names.once(channel, key)) or b"").split()  # position, edges, subscribers
        edges = int(known[1]) if len(known) > 1 else 0
        subscribers = int(known[2]) if len(known) > 2 else None
        return Published(position, edges, again=True, subscribers=subscribers)

    async def remember(self, channel: str, key: str, published: Published, subscribers: int) -> None:
        """Note with a key how many got its message, which is known later than the rest."""
        first = f"{published.position} {published.edges} {subscribers}"
        await self._redis.set(self._names.once(channel, key), first, xx=True, keepttl=True)

    async def sync(self, wanted: Sequence[SyncQuery]) -> list[SyncOutcome]:
        """Read several channels at once; joining begins a new bare epoch of the channel (see adopt.lua).

        A channel that cannot be read has its error in its place.
        """
        keys = [self._names.channel(channel) for channel, _, _ in wanted]
        arguments: list[Any] = [self._most_entries, max(DAY, 10 * self._history_ttl)]
        for _, offset, known in wanted:
            arguments += ("" if offset is None else offset, "" if known is None else known)
        answers = await self._sync(keys=keys, args=arguments)
        return [parse_sync_answer(answer) for answer in cast(list[Any], answers)]

    async def adopt(self, channel: str, first_epoch: int, messages: Sequence[Bare]) -> Adopted:
        """Hand in bare messages, in order, as an edge that counts since `first_epoch`."""
        arguments: list[Any] = [self._history_size, self._history_ttl, first_epoch]
        for message in messages:
            arguments += message
        done, state = await self._adopt(keys=[self._names.channel(channel)], args=arguments)
        return Adopted(int(done), AdoptionState(state.decode()))

    async def install_functions(self) -> None:
        """Offer `FCALL comet_publish 1 <channel> <payload>` to backends of any language (Redis 7, Valkey).

        Other deployments that share this Redis have put themselves into the same library, and stay in it.
        """
        functions: Any = self._redis  # untyped in redis-py
        installed = await functions.function_list(library=LIBRARY, withcode=True)
        others = deployments_in(b"".join(library[-1] for library in installed).decode(errors="replace"))
        text = functions_text(others | {lua_string(self._names.prefix): self._deployment})
        await functions.function_load(text, replace=True)
