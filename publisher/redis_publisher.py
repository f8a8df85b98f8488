"""Requests to publish in, outcomes out: the publish script runs once for each request, in order.

Errors of Redis end here: to the rest of the publisher they are an `UnavailableError`.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import perf_counter, time
from typing import NamedTuple

from redis import RedisError

from common.errors import RequestError, UnavailableError
from common.logs import get_logger
from common.message import Message
from common.position import Position
from common.rpc.messages import decode_receipt
from common.rpc.replies import REPLY_TIMEOUT, PendingReplies, ReplyInbox
from common.scripts.calls import Scripts
from common.scripts.results import Published
from publisher.request import Entry, PublishRequest

PUBLISH_TIMEOUT = 0.9  # seconds for one message, its wait for a turn included: a client hears of trouble in a second
MAX_COMMANDS = 32  # in flight, each on a connection of its own to Redis
MAX_WAITING = 1000  # requests that wait for their turn; more are refused
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

    request: PublishRequest
    published: Published
    receipt: PendingReplies[int] | None


class RedisPublisher:
    """Publishes the messages of a request one after the other; `observe` gets the seconds of each call of Redis."""

    def __init__(self, scripts: Scripts, inbox: ReplyInbox, observe: Callable[[float], None]) -> None:
        self._scripts = scripts
        self._inbox = inbox
        self._observe = observe
        self._turns = asyncio.Semaphore(MAX_COMMANDS)
        self._busy = 0
        self._refused: set[str] = set()  # kinds of messages that Redis does not take now: "stored", "ephemeral"

    async def publish(self, entries: Sequence[Entry]) -> list[Outcome | RequestError]:
        """Publish the entries that are no errors, in order, and return one result for each entry.

        After a failure of Redis the rest is not tried: the order is kept, and the answer comes within a second.
        """
        if self._busy >= MAX_COMMANDS + MAX_WAITING:
            return [UnavailableError("too many requests at once; try again")] * len(entries)
        self._busy += 1
        try:
            sent = await self._send_all(entries)
            # Receipts are awaited after the last message is sent, so that all of them are awaited at the same time.
            outcomes = [await _outcome(one) if isinstance(one, Sent) else one for one in sent]
            await self._remember_all(sent, outcomes)
            return outcomes
        finally:
            self._busy -= 1

    async def _send_all(self, entries: Sequence[Entry]) -> list[Sent | RequestError]:
        results: list[Sent | RequestError] = []
        failure: UnavailableError | None = None
        for entry in entries:
            result = entry if isinstance(entry, RequestError) else failure or await self._send(entry)
            failure = result if isinstance(result, UnavailableError) else failure
            results.append(result)
        return results

    async def _send(self, request: PublishRequest) -> Sent | UnavailableError:
        """Send one message; any failure of Redis is an `UnavailableError` that is returned."""
        receipt = self._inbox.open(decode_receipt) if request.receipt else None
        kind = "ephemeral" if request.ephemeral else "stored"
        try:
            published = await self._call_redis(request, receipt.inbox if receipt else "")
        except (RedisError, OSError) as error:
            self._log_refused(kind, error)
            return UnavailableError(UNAVAILABLE)
        self._log_taken(kind)
        if receipt is None or published.again:
            return Sent(request, published, None)
        receipt.sent_to(published.edges)
        return Sent(request, published, receipt)

    async def _remember_all(
        self, sent: Sequence[Sent | RequestError], outcomes: Sequence[Outcome | RequestError]
    ) -> None:
        """Store the counts of subscribers beside the keys, so that a retry gets the same answer."""
        stores = [
            self._remember(one, outcome)
            for one, outcome in zip(sent, outcomes, strict=True)
            if isinstance(one, Sent) and isinstance(outcome, Outcome) and one.receipt and one.request.key
        ]
        await asyncio.gather(*stores)

    async def _remember(self, sent: Sent, outcome: Outcome) -> None:
        """Store the count of subscribers beside a key; if that fails, the answer to a retry is without it."""
        if outcome.subscribers is None:
            return
        with suppress(RedisError, OSError):
            async with asyncio.timeout(REPLY_TIMEOUT), self._turns:
                await self._scripts.remember(
                    sent.request.channel, sent.request.key, sent.published, outcome.subscribers
                )

    async def _call_redis(self, request: PublishRequest, inbox: str) -> Published:
        """Run the publish script within `PUBLISH_TIMEOUT`; raises RedisError or OSError."""
        expires = int((time() + request.ttl) * 1000) if request.ttl else 0
        message = Message(request.payload, event=request.event, inbox=inbox, expires=expires)
        async with asyncio.timeout(PUBLISH_TIMEOUT), self._turns:
            began = perf_counter()
            published = await self._scripts.publish(request.channel, message, key=request.key, live=request.ephemeral)
            self._observe(perf_counter() - began)
        return published

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


async def _outcome(sent: Sent) -> Outcome:
    position, edges, _, subscribers = sent.published
    receipts = await sent.receipt.answers() if sent.receipt else None
    return Outcome(position, edges, subscribers if receipts is None else sum(receipts))
