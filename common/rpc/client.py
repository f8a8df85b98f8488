"""Asking edges: a request goes to one edge or to all, and their replies come together."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from redis import RedisError

from common.errors import UnavailableError
from common.names import RedisNames
from common.rpc.messages import Reply, Request, decode_reply, encode_request
from common.rpc.replies import PATIENCE, ReplyInbox

DEADLINE = 0.9  # seconds for one PUBLISH: who asks hears of trouble within a second
MOST_ID_CHARACTERS = 64
UNAVAILABLE = "redis does not pass the question on to the edges now; try again"
DEAF = "the answers of the edges do not reach this process now; try again"


class Replies(NamedTuple):
    """What edges replied, and how many the request reached."""

    replies: list[Reply]
    reached: int

    @property
    def silent(self) -> int:
        """How many edges did not reply in time."""
        return max(self.reached - len(self.replies), 0)


class EdgeClient:
    """The edges of a deployment, as one process can ask them; `publish` returns how many a message reached."""

    def __init__(self, names: RedisNames, inbox: ReplyInbox, publish: Callable[[bytes, bytes], Awaitable[Any]]) -> None:
        self._names = names
        self._inbox = inbox
        self._publish = publish

    async def ask(
        self, edge: str | None, op: str, fields: Mapping[str, object] | None = None, patience: float = PATIENCE
    ) -> Replies:
        """Ask one edge, or all of them if `edge` is None, and wait at most `patience` seconds for their replies.

        Nobody there is known at once. Raises `UnavailableError` if Redis cannot carry question or answer.
        """
        if edge is not None and not _is_id(edge):
            return Replies([], 0)
        gathering = self._inbox.open(decode_reply)
        name = self._names.edges() if edge is None else self._names.edge(edge)
        reached = await self._send(name, encode_request(Request(op, gathering.inbox, dict(fields or {}))))
        gathering.sent_to(reached, patience)
        replies = await gathering.answers()
        if replies is None:
            raise UnavailableError(DEAF)
        return Replies(replies, reached)

    async def _send(self, name: bytes, request: bytes) -> int:
        try:
            async with asyncio.timeout(DEADLINE):
                return int(await self._publish(name, request))
        except (RedisError, OSError):
            raise UnavailableError(UNAVAILABLE) from None


def _is_id(text: str) -> bool:
    """Say whether a text, that may come from a stranger, can be the id of an edge."""
    return len(text) <= MOST_ID_CHARACTERS and text.isascii() and text.isalnum()
