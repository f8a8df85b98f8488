"""The client of the edges: it sends a request to one edge or to all, and collects their replies."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from redis import RedisError

from common.errors import UnavailableError
from common.names import RedisNames
from common.rpc.messages import Reply, Request, decode_reply, encode_request
from common.rpc.replies import REPLY_TIMEOUT, ReplyInbox

PUBLISH_TIMEOUT = 0.9  # seconds for one PUBLISH: the caller learns of trouble within a second
MAX_PUBLISHES = 16  # under way at a time: requests leave the connections to Redis to replies and messages
MAX_ID_CHARACTERS = 64
NOT_SENT = "redis does not pass the request on to the edges now; try again"
NOT_REACHABLE = "the replies of the edges do not reach this process now; try again"


class Replies(NamedTuple):
    """The replies of edges, and the number of edges that the request reached."""

    replies: list[Reply]
    reached: int

    @property
    def silent(self) -> int:
        """The number of edges that did not reply in time."""
        return max(self.reached - len(self.replies), 0)


class EdgeClient:
    """The edges of a deployment, to which a process sends requests.

    `publish` returns the number of edges that a message reached.
    """

    def __init__(self, names: RedisNames, inbox: ReplyInbox, publish: Callable[[bytes, bytes], Awaitable[Any]]) -> None:
        self._names = names
        self._inbox = inbox
        self._publish = publish
        self._places = asyncio.Semaphore(MAX_PUBLISHES)

    async def ask(
        self, edge: str | None, op: str, fields: Mapping[str, object] | None = None, seconds: float = REPLY_TIMEOUT
    ) -> Replies:
        """Ask one edge, or all of them if `edge` is None, and wait at most `seconds` for their replies.

        Returns at once if the request reaches no edge. Raises `UnavailableError` if Redis cannot carry request or
        replies.
        """
        if edge is not None and not _is_id(edge):
            return Replies([], 0)
        pending = self._inbox.open(decode_reply)
        name = self._names.edges() if edge is None else self._names.edge(edge)
        reached = await self._send(name, encode_request(Request(op, pending.inbox, dict(fields or {}))))
        pending.sent_to(reached, seconds)
        replies = await pending.answers()
        if replies is None:
            raise UnavailableError(NOT_REACHABLE)
        return Replies(replies, reached)

    async def _send(self, name: bytes, request: bytes) -> int:
        try:
            async with asyncio.timeout(PUBLISH_TIMEOUT), self._places:
                return int(await self._publish(name, request))
        except (RedisError, OSError):
            raise UnavailableError(NOT_SENT) from None


def _is_id(text: str) -> bool:
    """Say whether a text, which may come from a client, can be the id of an edge."""
    return len(text) <= MAX_ID_CHARACTERS and text.isascii() and text.isalnum()
