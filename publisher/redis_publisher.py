"""Requests to publish in, outcomes out: runs the publish script, in order, and is the one place that knows what a
failing Redis looks like."""

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
from common.rpc.replies import PATIENCE, PendingReplies, ReplyInbox
from common.scripts.calls import Scripts
from common.scripts.results import Published
from publisher.request import Entry, PublishRequest

DEADLINE = 0.9  # seconds for one publish, waiting for its turn included: a client hears of trouble within a second
MOST_AT_ONCE = 32  # commands in flight, so connections to Redis
UNAVAILABLE = "redis does not take the message now; try again, with a key if it must not come twice"
MOST_WAITING = 1000  # requests that may wait for their turn; more are turned away


class Outcome(NamedTuple):
    """What became of a message.

    `position` is None if it was not stored, `subscribers` if nobody asked or if answers could not be heard. If its key
    was used before, all of it is what became of the first message.
    """

    position: Position | None
    edges: int
    subscribers: int | None

    @property
    def connected(self) -> bool:
        """Whether somebody got it, as far as we can know."""
        return self.edges > 0 if self.subscribers is None else self.subscribers > 0


class Sent(NamedTuple):
    """A message that is out, and the receipt that is still to come."""

    request: PublishRequest
    published: Published
    receipt: PendingReplies[int] | None


class RedisPublisher:
    """Publishes requests one after the other, in order; `observe` is told the seconds of each call of Redis."""

    def __init__(self, scripts: Scripts, inbox: ReplyInbox, observe: Callable[[float], None]) -> None:
        self._scripts = scripts
        self._inbox = inbox
        self._observe = observe
        self._turns = asyncio.Semaphore(MOST_AT_ONCE)
        self._busy = 0
        self._refused: set[str] = set()  # kinds of messages that Redis does not take at the moment

    async def publish(self, entries: Sequence[Entry]) -> list[Outcome | RequestError]:
        """Publish what can be published and return one result for each entry, in order.

        Once Redis is unavailable the rest is not tried, so that order is kept and the answer comes within a second.
        """
        if self._busy >= MOST_AT_ONCE + MOST_WAITING:
            return [UnavailableError("too many requests at once; try again")] * len(entries)
        self._busy += 1
        try:
            sent = await self._send_all(entries)
            # Receipts are awaited after the last message is out, so that all wait at the same time.
            outcomes = [await _outcome(one) if isinstance(one, Sent) else one for one in sent]
            await self._remember_all(sent, outcomes)
            return outcomes
        finally:
            self._busy -= 1

    async def _send_all(self, entries: Sequence[Entry]) -> list[Sent | RequestError]:
        results: list[Sent | RequestError] = []
        trouble: UnavailableError | None = None
        for entry in entries:
            result = entry if isinstance(entry, RequestError) else trouble or await self._send(entry)
            trouble = result if isinstance(result, UnavailableError) else trouble
            results.append(result)
        return results

    async def _send(self, request: PublishRequest) -> Sent | UnavailableError:
        """Send one message; whatever goes wrong with Redis ends here."""
        receipt = self._inbox.open(decode_receipt) if request.receipt else None
        kind = "ephemeral" if request.ephemeral else "stored"
        try:
            published = await self._call_redis(request, receipt.inbox if receipt else "")
        except (RedisError, OSError) as error:
            self._say_refused(kind, error)
            return UnavailableError(UNAVAILABLE)
        self._say_taken(kind)
        if published.again:
            return Sent(request, published, None)
        if receipt:
            receipt.sent_to(published.edges)
        return Sent(request, published, receipt)

    async def _remember_all(
        self, sent: Sequence[Sent | RequestError], outcomes: Sequence[Outcome | RequestError]
    ) -> None:
        """Note with the keys how many got their messages, so that a retry is told the same."""
        pairs = zip(sent, outcomes, strict=True)
        keyed = [pair for pair in pairs if isinstance(pair[0], Sent) and pair[0].receipt and pair[0].request.key]
        await asyncio.gather(*[self._remember(*pair) for pair in keyed])  # type: ignore[arg-type]

    async def _remember(self, sent: Sent, outcome: Outcome) -> None:
        """Note how many got a message; if that fails a retry is answered without it."""
        if outcome.subscribers is None:
            return
        with suppress(RedisError, OSError):
            async with asyncio.timeout(PATIENCE), self._turns:
                await self._scripts.remember(
                    sent.request.channel, sent.request.key, sent.published, outcome.subscribers
                )

    async def _call_redis(self, request: PublishRequest, inbox: str) -> Published:
        """Run the publish script within `DEADLINE`; raises RedisError or OSError."""
        expires = int((time() + request.ttl) * 1000) if request.ttl else 0
        message = Message(request.payload, event=request.event, inbox=inbox, expires=expires)
        async with asyncio.timeout(DEADLINE), self._turns:
            began = perf_counter()
            published = await self._scripts.publish(request.channel, message, key=request.key, live=request.ephemeral)
            self._observe(perf_counter() - began)
        return published

    def _say_refused(self, kind: str, error: Exception) -> None:
        """Log the first failure of a kind; ephemeral messages may pass while memory is too short for others."""
        if kind not in self._refused:
            self._refused.add(kind)
            get_logger().warning(
                f"redis does not take {kind} messages; answering 503", error=str(error) or type(error).__name__
            )

    def _say_taken(self, kind: str) -> None:
        if kind in self._refused:
            self._refused.discard(kind)
            get_logger().info(f"redis takes {kind} messages again")


async def _outcome(sent: Sent) -> Outcome:
    position, edges, _, subscribers = sent.published
    receipts = await sent.receipt.answers() if sent.receipt else None
    return Outcome(position, edges, subscribers if receipts is None else sum(receipts))
