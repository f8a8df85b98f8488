"""Publishing many messages at once: those of all requests go out in pipelines, and each has its own result."""

from collections.abc import Sequence
from hashlib import sha1
from typing import Any, NamedTuple

from redis.exceptions import NoScriptError

from common.message import Message, encode_frame
from common.names import RedisNames
from common.redis.answers import FAULTS, WrongAnswerError, reading, unreadable
from common.redis.pipelines import Command, Pipelines
from common.redis.pool import WRONG_SERVER
from common.scripts.library import script_text
from common.scripts.results import Published, parse_seq, read_count
from common.settings import Settings

ONCE_TTL = 300  # seconds that the result of a publish with an idempotency key is kept
NOT_DONE = (NoScriptError, *WRONG_SERVER)  # by their own words these have carried nothing out


class Outgoing(NamedTuple):
    """A message to publish, with history unless `live` is given or the deployment keeps none.

    `key` makes a retry safe: for five minutes the same key on the same channel returns the first result.
    """

    channel: str
    message: Message
    key: str = ""
    live: bool = False


class Publishing:
    """Publishes the messages of one deployment; `deadline` is by the loop's clock, and no call raises."""

    def __init__(self, pipelines: Pipelines, names: RedisNames, settings: Settings) -> None:
        self._pipelines = pipelines
        self._names = names
        self._keeps_history = settings.history_size > 0
        text = script_text("publish", settings.history_size, settings.history_ttl)
        self._sha = sha1(text.encode(), usedforsecurity=False).hexdigest()  # what Redis calls the script
        self._load = Command("SCRIPT LOAD", ("SCRIPT", "LOAD", text))

    async def publish(self, messages: Sequence[Outgoing], deadline: float) -> list[Published | Exception]:
        """Publish messages in order, and return a result or a RedisError or OSError for each."""
        replies = await self._run([self.command(one) for one in messages], deadline)
        results = [_published(reply) for reply in replies]
        again = [index for index, one in enumerate(results) if isinstance(one, Published) and one.again]
        if again:
            await self._find_first_results(messages, results, again, deadline)
        return results

    async def remember(self, sent: Sequence[tuple[Outgoing, Published, int]], deadline: float) -> None:
        """Add to keys how many subscribers got their messages, which is known later than the rest."""
        await self._pipelines.execute([self._memory(*one) for one in sent], deadline)

    async def _run(self, commands: Sequence[Command], deadline: float) -> list[Any]:
        """Run commands; those that a server has certainly not carried out are sent once more, on a new connection.

        A server that has not the script, or has it no more, gets it. One that takes no writes is not the primary now;
        the pool has dropped all connections to it, and a new one may reach the primary.
        Several are sent behind the script: else it could come from elsewhere between two of them, and the second would
        overtake the first. For the same reason nothing is sent again that stood before a command that was carried out.
        """
        loading = [self._load] if len(commands) > 1 and self._keeps_history else []
        replies = (await self._pipelines.execute([*loading, *commands], deadline))[len(loading) :]
        kept = next((index for index, reply in enumerate(replies) if isinstance(reply, NOT_DONE)), len(replies))
        if kept < len(replies) and all(isinstance(reply, NOT_DONE) for reply in replies[kept:]):
            again = [self._load] if self._keeps_history else []
            found = await self._pipelines.execute([*again, *commands[kept:]], deadline)
            replies[kept:] = found[len(again) :]
        return replies

    def command(self, outgoing: Outgoing) -> Command:
        """Return the command that publishes a message."""
        channel, message, key, live = outgoing
        name = self._names.channel(channel)
        if live or not self._keeps_history:
            return Command("PUBLISH", ("PUBLISH", name, encode_frame(message)))
        return Command("EVALSHA", ("EVALSHA", self._sha, 1, name, *_arguments(message, key)))

    def _memory(self, outgoing: Outgoing, published: Published, subscribers: int) -> Command:
        name = self._names.once(outgoing.channel, outgoing.key)
        return Command("SET", ("SET", name, f"{published.position} {published.edges} {subscribers}", "XX", "KEEPTTL"))

    async def _find_first_results(
        self,
        messages: Sequence[Outgoing],
        results: list[Published | Exception],
        again: Sequence[int],
        deadline: float,
    ) -> None:
        """Replace the results of messages whose keys were used before by those of the first publish."""
        names = [self._names.once(messages[index].channel, messages[index].key) for index in again]
        firsts = await self._pipelines.execute([Command("GET", ("GET", name)) for name in names], deadline)
        for index, first in zip(again, firsts, strict=True):
            results[index] = _first(results[index], first)


def _published(reply: Any) -> Published | Exception:
    if isinstance(reply, Exception):
        return reply
    if isinstance(reply, int):  # of a PUBLISH
        return Published(None, reply)
    try:
        return _read(reply)
    except WrongAnswerError as error:
        return error


def _first(published: Any, first: Any) -> Published | Exception:
    if isinstance(first, Exception):
        return first
    try:
        return _first_result(published, first)
    except WrongAnswerError as error:
        return error


def _arguments(message: Message, key: str) -> list[Any]:
    """Return the arguments of the publish script."""
    arguments: list[Any] = [message.payload]
    if message.event:
        arguments += ("event", message.event)
    if message.inbox:
        arguments += ("inbox", message.inbox)
    if message.expires:
        arguments += ("expires", message.expires)
    if key:
        arguments += ("key", key, "once", ONCE_TTL)
    return arguments


def _read(answer: Any) -> Published:
    """Read the answer of the publish script; raises `WrongAnswerError`."""
    try:
        seq, reached = answer
        edges = int(reached)
        return Published(parse_seq(seq), edges, edges < 0)
    except FAULTS as error:
        raise unreadable("the publish script", answer, error) from None


def _first_result(published: Published, first: bytes | None) -> Published:
    """Return the result of the first publish with a key, as far as it is known; raises `WrongAnswerError`."""
    with reading("a key's result", first):
        known = (first or b"").split()  # position, edges, subscribers
        edges = read_count(known[1]) if len(known) > 1 else 0
        subscribers = read_count(known[2]) if len(known) > 2 else None
    return Published(published.position, edges, again=True, subscribers=subscribers)
