"""The Redis scripts: their texts, and typed calls that run them."""

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

from redis import ResponseError
from redis.asyncio import Redis

from common.message import Message, encode_frame, expiry, is_number
from common.names import RedisNames
from common.position import Position
from common.scripts.library import LIBRARY, Deployment, deployments_in, functions_text, lua_string, script_text
from common.settings import Settings

ONCE_TTL = 300  # seconds a publish with an idempotency key is remembered
DAY = 86400
TRIM_SLACK = 128  # XADD MAXLEN ~ keeps up to a stream node (100 entries) more than it was told


class Published(NamedTuple):
    """What became of a publish: its position (None if live only), and how many edges Redis handed it to.

    `again`: its key was used before, nothing was sent, and this is what became of the first one; `subscribers` is how
    many got that, if it was asked.
    """

    position: Position | None
    edges: int
    again: bool = False
    subscribers: int | None = None


class SyncQuery(NamedTuple):
    """One channel to sync: the offset to read after (None: only where it stands).

    `known` joins it (adoption), and is the newest epoch that was seen of it, or 0.
    """

    channel: str
    offset: int | None = None
    known: int | None = None


class SyncResult(NamedTuple):
    """Where a channel stands, the stored messages after the offset that was asked for, and the epoch joined."""

    top: Position
    messages: list[Message]
    epoch: int = 0


#: What was read of one channel, or why nothing can be: a key of it holds something that is not ours.
SyncOutcome = SyncResult | ResponseError


class Bare(NamedTuple):
    """One bare message that an edge hands in: the number-th of its epoch."""

    epoch: int
    number: int
    payload: bytes


class Adopted(NamedTuple):
    """How many of the messages handed in are done, and why the next is not: `wait`, `skipped` (else `done`)."""

    done: int
    state: str


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
            return await self._first(channel, key, _position(seq))
        return Published(_position(seq), int(edges))

    async def _first(self, channel: str, key: str, position: Position) -> Published:
        """Return what became of the first publish with a key, as far as it is known."""
        known = (await self._redis.get(self._names.once(channel, key)) or b"").split()[1:]
        edges, subscribers = [int(number) for number in known] + [None] * (2 - len(known))
        return Published(position, edges or 0, again=True, subscribers=subscribers)

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
        return [_reading(answer) for answer in cast(list[Any], answers)]

    async def adopt(self, channel: str, first_epoch: int, messages: Sequence[Bare]) -> Adopted:
        """Hand in bare messages, in order, as an edge that counts since `first_epoch`."""
        arguments: list[Any] = [self._history_size, self._history_ttl, first_epoch]
        for message in messages:
            arguments += message
        done, state = await self._adopt(keys=[self._names.channel(channel)], args=arguments)
        return Adopted(int(done), state.decode())

    async def install_functions(self) -> None:
        """Offer `FCALL comet_publish 1 <channel> <payload>` to backends of any language (Redis 7, Valkey).

        Other deployments that share this Redis have put themselves into the same library, and stay in it.
        """
        functions: Any = self._redis  # untyped in redis-py
        installed = await functions.function_list(library=LIBRARY, withcode=True)
        others = deployments_in(b"".join(library[-1] for library in installed).decode(errors="replace"))
        text = functions_text(others | {lua_string(self._names.prefix): self._deployment})
        await functions.function_load(text, replace=True)


def _position(seq: bytes) -> Position:
    offset, tag = seq.split(b"-")
    return Position(int(offset), int(tag))


def _reading(answer: list[Any] | ResponseError) -> SyncOutcome:
    if isinstance(answer, ResponseError):
        return answer
    offset, tag, entries, epoch = answer
    if not (is_number(offset) and is_number(tag)):
        return ResponseError(f"its top position is broken: offset {offset!r}, tag {tag!r}")
    return SyncResult(Position(int(offset), int(tag)), [_stored_message(*entry) for entry in entries], epoch)


def _stored_message(entry_id: bytes, fields: list[bytes]) -> Message:
    """Turn one stream entry into the message that was published; never raises.

    Anybody may write to a stream. An entry that our scripts did not write names no predecessor and is nobody's: its
    tag -1 breaks every chain that it is in, so that whoever would need it is reset.
    """
    offset, tag = _position(entry_id)
    values = dict(zip(fields[::2], fields[1::2], strict=False))
    prev = values.get(b"p", b"")
    if b"d" not in values or not is_number(prev):
        return Message(b"", offset, -1, -1)
    event, expires = values.get(b"e", b"").decode(errors="replace"), expiry(values.get(b"x", b""))
    return Message(values[b"d"], offset, tag, int(prev), event, expires=expires)
