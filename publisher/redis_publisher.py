"""Requests to publish in, outcomes out: the publish script runs once for each request, in order.

Errors of Redis end here: to the rest of the publisher they are an `UnavailableError`.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from time import time
from typing import NamedTuple

from common.errors import RequestError, UnavailableError
from common.logs import get_logger
from common.message import Message
from common.position import Position
from common.rpc.messages import decode_receipt
from common.rpc.replies import REPLY_TIMEOUT, PendingReplies, ReplyInbox
from common.scripts.publishing import Outgoing, Publishing
from common.scripts.results import Published
from publisher.request import Entry, PublishRequest

PUBLISH_TIMEOUT = 0.9  # seconds for one piece, its wait for a turn included: a client hears of trouble in a second
MAX_REQUESTS = 1032  # at once; more are refused
MAX_PIECE = 100  # messages of one request that go out together
MAX_PIECE_BYTES = 1 << 18  # of their payloads, unless one message has more
UNAVAILABLE = "redis does not take the message now; try again, with a key if it must not come twice"


class Outcome(NamedTuple):
    """The result of publishing one message.

    `position` is None if the message was not stored, `subscribers` if no receipt was asked for or receipts did not
    reach this process. A message whose key was used before has the outcome of the first one.
    """

    position: Position | None
    edges: int
    subscribers: int | None

    @property
    def connected(self) -> bool:
        """Whether the message reached a subscriber, as far as it is known."""
        return self.edges > 0 if self.subscribers is None else self.subscribers > 0


class Sent(NamedTuple):
    """A message that Redis has taken, and the receipt that is still to come."""

    outgoing: Outgoing
    published: Published
    receipt: PendingReplies[int]


Result = Outcome | RequestError | Sent


class RedisPublisher:
    """Publishes the messages of a request in order, several together."""

    def __init__(self, publishing: Publishing, inbox: ReplyInbox) -> None:
        self._publishing = publishing
        self._inbox = inbox
        self._busy = 0
        self._refused: set[str] = set()  # kinds of messages that Redis does not take now: "stored", "ephemeral"

    async def publish(self, entries: Sequence[Entry]) -> list[Outcome | RequestError]:
        """Publish the entries that are no errors, in order, and return one result for each entry.

        After a piece in which Redis failed the rest is not tried: the answer comes within a second.
        """
        if self._busy >= MAX_REQUESTS:
            return [UnavailableError("too many requests at once; try again")] * len(entries)
        self._busy += 1
        try:
            results = await self._send_all(entries)
            sent = {index: one for index, one in enumerate(results) if isinstance(one, Sent)}
            if sent:
                return await self._with_receipts(results, sent)
            return results  # type: ignore[return-value]  # none of them is `Sent`
        finally:
            self._busy -= 1

    async def _send_all(self, entries: Sequence[Entry]) -> list[Result]:
        results: list[Result] = []
        failed = False
        for piece in _pieces([entry for entry in entries if isinstance(entry, PublishRequest)]):
            results += [UnavailableError(UNAVAILABLE) for _ in piece] if failed else await self._send(piece)
            failed = failed or any(isinstance(one, UnavailableError) for one in results)
        if len(results) == len(entries):
            return results
        rest = iter(results)
        return [entry if isinstance(entry, RequestError) else next(rest) for entry in entries]

    async def _send(self, requests: Sequence[PublishRequest]) -> list[Result]:
        """Send messages together; any failure of Redis is an `UnavailableError` in the place of its message."""
        deadline = asyncio.get_running_loop().time() + PUBLISH_TIMEOUT
        receipts = [self._inbox.open(decode_receipt) if request.receipt else None for request in requests]
        outgoing = [_outgoing(request, receipt) for request, receipt in zip(requests, receipts, strict=True)]
        answers = await self._publishing.publish(outgoing, deadline)
        return [self._result(*three) for three in zip(outgoing, answers, receipts, strict=True)]

    def _result(
        self, outgoing: Outgoing, published: Published | Exception, receipt: PendingReplies[int] | None
    ) -> Result:
        kind = "ephemeral" if outgoing.live else "stored"
        if isinstance(published, Exception):
            self._log_refused(kind, published)
            return UnavailableError(UNAVAILABLE)
        if self._refused:
            self._log_taken(kind)
        if receipt is None or published.again:
            return Outcome(published.position, published.edges, published.subscribers)
        receipt.sent_to(published.edges)
        return Sent(outgoing, published, receipt)

    async def _with_receipts(self, results: Sequence[Result], sent: Mapping[int, Sent]) -> list[Outcome | RequestError]:
        """Return the results with the counts of subscribers, which are stored beside the keys as well.

        They are awaited after the last message is sent, so that all of them are awaited at the same time.
        """
        outcomes = {index: await _outcome(one) for index, one in sent.items()}
        known = [
            (one.outgoing, one.published, count)
            for index, one in sent.items()
            if one.outgoing.key and (count := outcomes[index].subscribers) is not None
        ]
        if known:  # a retry gets the same answer; if this fails, one without the count
            await self._publishing.remember(known, asyncio.get_running_loop().time() + REPLY_TIMEOUT)
        return [outcomes[index] if isinstance(one, Sent) else one for index, one in enumerate(results)]

    def _log_refused(self, kind: str, error: Exception) -> None:
        """Log the first failure of a kind: a Redis without memory may take ephemeral messages and no others."""
        if kind not in self._refused:
            self._refused.add(kind)
            get_logger().warning(
                f"redis does not take {kind} messages; answering 503", error=str(error) or type(error).__name__
            )

    def _log_taken(self, kind: str) -> None:
        if kind in self._refused:
            self._refused.discard(kind)
            get_logger().info(f"redis takes {kind} messages again")


def _outgoing(request: PublishRequest, receipt: PendingReplies[int] | None) -> Outgoing:
    expires = int((time() + request.ttl) * 1000) if request.ttl else 0
    message = Message(request.payload, event=request.event, inbox=receipt.inbox if receipt else "", expires=expires)
    return Outgoing(request.channel, message, request.key, request.ephemeral)


def _pieces(requests: list[PublishRequest]) -> Iterator[list[PublishRequest]]:
    """Yield the messages that go out together: of one kind, since Redis may refuse one kind and take the other."""
    first = size = 0
    for at, request in enumerate(requests):
        size += len(request.payload)
        is_full = at - first == MAX_PIECE or size > MAX_PIECE_BYTES
        if at > first and (is_full or request.ephemeral != requests[first].ephemeral):
            yield requests[first:at]
            first, size = at, len(request.payload)
    if requests:
        yield requests[first:]


async def _outcome(sent: Sent) -> Outcome:
    counts = await sent.receipt.answers()
    return Outcome(sent.published.position, sent.published.edges, None if counts is None else sum(counts))
