"""Typed calls that run the Redis scripts."""

import math
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, NamedTuple

from redis.asyncio import Redis
from redis.commands.core import AsyncScript
from redis.crc import key_slot
from redis.exceptions import ClusterCrossSlotError

from common.names import RedisNames
from common.redis.answers import reading, wrong_answer
from common.scripts.library import LIBRARY, Deployment, deployments_in, functions_text, lua_string, script_text
from common.scripts.results import (
    Adopted,
    AdoptionState,
    Bare,
    SyncOutcome,
    SyncQuery,
    parse_sync_answer,
)
from common.settings import Settings

DAY = 86400  # seconds
LEAST_GENESIS_TTL = 300  # seconds; an edge that was away for less finds its channels without messages as they were
TRIM_SLACK = 128  # entries: XADD MAXLEN ~ keeps up to a stream node (100) more than its limit


class PieceLimit(NamedTuple):
    """Where a piece of a log ends: after the message that reaches one of these."""

    max_bytes: int
    max_entries: int


class Scripts:
    """Runs the scripts of one deployment; every call may raise `redis.RedisError`."""

    def __init__(self, redis: Redis, names: RedisNames, settings: Settings) -> None:
        self._redis = redis
        self._names = names
        self._history_size = settings.history_size
        self._history_ttl = settings.history_ttl
        self._deployment = Deployment(settings.max_message_bytes, settings.history_size, settings.history_ttl)
        self._max_entries = settings.history_size + TRIM_SLACK
        self._position_ttl = max(DAY, 10 * self._history_ttl)
        self._genesis_ttl = genesis_ttl(settings)
        self._sync = redis.register_script(script_text("sync"))
        self._read = redis.register_script(script_text("read"))
        self._release = redis.register_script(script_text("release"))
        self._adopt = redis.register_script(script_text("adopt"))

    async def sync(self, queries: Sequence[SyncQuery]) -> list[SyncOutcome]:
        """Read several channels at once; joining one begins a new epoch of its bare messages (see adopt.lua).

        For a channel that cannot be read the result has its error.
        """
        arguments = (self._max_entries, self._position_ttl, self._genesis_ttl)
        own = [(_or_nothing(query.offset), _or_nothing(query.known)) for query in queries]
        return await self._run(self._sync, arguments, [query.channel for query in queries], own)

    async def read(self, queries: Sequence[SyncQuery], limit: PieceLimit) -> list[SyncOutcome]:
        """Read the oldest messages after an offset of several channels, those of each up to a limit.

        With a limit of 0 bytes it is the first message, without its payload. The position of a channel that has none
        is `START`: it has to be synced.
        """
        return await self._run(
            self._read, limit, [query.channel for query in queries], [(query.offset or 0,) for query in queries]
        )

    async def _run(
        self,
        script: AsyncScript,
        arguments: Sequence[Any],
        channels: Sequence[str],
        own: Sequence[Sequence[Any]],
    ) -> list[SyncOutcome]:
        """Read channels with a script, which gets the arguments, and then the own ones of each channel."""
        keys: list[Any] = [self._names.channel(channel) for channel in channels]
        try:
            return _outcomes(await script(keys, [*arguments, *chain.from_iterable(own)]), len(keys))
        except ClusterCrossSlotError:
            groups = _by_slot(keys)
        calls = [
            ([keys[index] for index in group], [*arguments, *chain.from_iterable(own[index] for index in group)])
            for group in groups
        ]
        answers: dict[int, SyncOutcome] = {}
        for group, results in zip(groups, await self._run_each(script, calls), strict=True):
            answers |= zip(group, _outcomes(results, len(group)), strict=True)
        return [answers[index] for index in range(len(keys))]

    async def _run_each(self, script: AsyncScript, calls: Sequence[tuple[list[Any], list[Any]]]) -> list[Any]:
        """Run a script for each slot of a server in cluster mode, which takes the keys of one slot in each call."""
        first = await script(*calls[0])  # which loads the script, if need be
        pipeline = self._redis.pipeline(transaction=False)
        for keys, arguments in calls[1:]:
            pipeline.evalsha(script.sha, len(keys), *keys, *arguments)
        return [first, *await pipeline.execute()]

    async def release(self, channels: Sequence[str]) -> None:
        """Let go of channels that this process has unsubscribed from: names without messages leave nothing behind."""
        keys = [self._names.channel(channel) for channel in channels]
        try:
            await self._release(keys=keys, args=[self._position_ttl])
        except ClusterCrossSlotError:
            for group in _by_slot(keys):
                await self._release(keys=[keys[index] for index in group], args=[self._position_ttl])

    async def adopt(self, channel: str, first_epoch: int, messages: Sequence[Bare]) -> Adopted:
        """Hand in bare messages, in order, for an edge that counts them since `first_epoch`."""
        arguments: list[Any] = [self._history_size, self._history_ttl, first_epoch]
        for message in messages:
            arguments += message
        answer = await self._adopt(keys=[self._names.channel(channel)], args=arguments)
        with reading("the adopt script", answer):
            done, state = answer
            adopted = Adopted(int(done), AdoptionState(state.decode()))
        if not 0 <= adopted.done <= len(messages):
            raise wrong_answer("the adopt script", answer, f"with at most {len(messages)} messages")
        return adopted

    async def install_functions(self, in_use: Iterable[str] = ()) -> None:
        """Install the function for `FCALL comet_publish 1 <channel> <payload>`, for backends of any language.

        It needs Redis 7 or Valkey. Other deployments on this Redis are in the same library, and stay in it. `in_use`
        are the prefixes of all, also of those that do not install it.
        """
        functions: Any = self._redis  # untyped in redis-py
        deployments = await self._deployments() | {lua_string(self._names.prefix): self._deployment}
        text = functions_text(deployments, map(lua_string, in_use))
        await functions.function_load(text, replace=True)

    async def lack_functions(self) -> bool:
        """Say whether the function is not there for this deployment."""
        return lua_string(self._names.prefix) not in await self._deployments()

    async def _deployments(self) -> dict[str, Deployment]:
        functions: Any = self._redis  # untyped in redis-py
        installed = await functions.function_list(library=LIBRARY, withcode=True)
        with reading("FUNCTION LIST", installed):
            return deployments_in(b"".join(library[-1] for library in installed).decode(errors="replace"))


def _outcomes(answers: Any, count: int) -> list[SyncOutcome]:
    """Read the answer of the sync script for `count` channels."""
    if not isinstance(answers, list) or len(answers) != count:
        raise wrong_answer("the sync script", answers, f"an array of {count}")
    with reading("the sync script", answers):
        return [parse_sync_answer(answer) for answer in answers]


def _or_nothing(number: int | None) -> int | str:
    return "" if number is None else number


def genesis_ttl(settings: Settings) -> int:
    """Return for how many seconds the position of a channel without messages is kept while no edge looks at it.

    The edges that have the channel look at it about once in `COMET_AUDIT` seconds.
    """
    return math.ceil(max(LEAST_GENESIS_TTL, 2 * settings.linger, 4 * settings.audit))


def _by_slot(keys: Sequence[bytes]) -> list[list[int]]:
    """Return the indexes of keys, in a group for each slot of a server in cluster mode."""
    groups: dict[int, list[int]] = {}
    for index, key in enumerate(keys):
        groups.setdefault(key_slot(key), []).append(index)
    return list(groups.values())
