"""Receipts: a message goes out with an inbox, every edge it reached answers there, and we add the answers up.

Redis says how many edges a PUBLISH reached, so we know how many answers to wait for, and no counter has to be kept
anywhere. An answer may arrive before Redis's reply to the publish: a receipt is opened before the message goes out.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from weakref import WeakValueDictionary

from common.channels import Names

PATIENCE = 0.25  # seconds that edges have to answer
LONGEST_ANSWER = 40  # bytes of "number subscribers"


class Receipt:
    """The answers to one message; it is forgotten as soon as nobody holds it."""

    __slots__ = ("__weakref__", "_answers", "_complete", "_deadline", "_edges", "_lost", "_subscribers", "inbox")

    def __init__(self, inbox: str, *, lost: bool) -> None:
        self.inbox = inbox
        self._complete = asyncio.Event()
        self._lost = lost
        self._answers = self._subscribers = 0
        self._edges: int | None = None
        self._deadline = 0.0

    def answer(self, subscribers: int) -> None:
        """Take the answer of one edge."""
        self._answers += 1
        self._subscribers += subscribers
        self._check()

    def lose(self) -> None:
        """Take note that answers cannot be heard any more."""
        self._lost = True
        self._check()

    def sent_to(self, edges: int) -> None:
        """Say how many edges the message reached; they have `PATIENCE` seconds from now."""
        self._edges = edges
        self._deadline = asyncio.get_running_loop().time() + PATIENCE
        self._check()

    async def total(self) -> int | None:
        """Wait for the answers and return how many subscribers got the message; None if nobody could hear them.

        An edge that does not answer in time is left out of the sum. Call `sent_to` before.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self._deadline):
                await self._complete.wait()
        return None if self._lost else self._subscribers

    def _check(self) -> None:
        if self._edges is not None and (self._lost or self._answers >= self._edges):
            self._complete.set()


class Receipts:
    """The inbox of one publisher process: a consumer of the bus."""

    def __init__(self, names: Names, publisher_id: str) -> None:
        self.listening = False  # Redis has acknowledged our subscription to the inbox
        self.ignored = 0  # answers that were late, forged or malformed
        self.on_listening: Callable[[], None] = lambda: None  # called on every new connection
        self._publisher_id = publisher_id
        self._inbox = names.inbox(publisher_id)
        self._numbers = count(1)
        self._attempts = count(1)
        self._attempt = 0
        self._open: WeakValueDictionary[int, Receipt] = WeakValueDictionary()
        self._subscribe: Callable[[bytes, int], None] = _nowhere

    def listen_through(self, subscribe: Callable[[bytes, int], None]) -> None:
        """Use this to subscribe to the inbox whenever the bus is up."""
        self._subscribe = subscribe

    def open(self) -> Receipt:
        """Return a new receipt, for the inbox of a message that is about to go out."""
        number = next(self._numbers)
        receipt = Receipt(f"{self._publisher_id}.{number}", lost=not self.listening)
        self._open[number] = receipt
        return receipt

    def on_message(self, name: bytes, payload: bytes) -> None:
        """Hand an edge's answer, `number subscribers`, to its receipt; ignore and count whatever is not one."""
        number, _, subscribers = payload.partition(b" ")
        receipt = None
        if name == self._inbox and len(payload) <= LONGEST_ANSWER and number.isdigit() and subscribers.isdigit():
            receipt = self._open.get(int(number))
        if receipt is None:
            self.ignored += 1
        else:
            receipt.answer(int(subscribers))

    def on_read_end(self) -> None:
        """Nothing waits for the end of a read."""

    def on_up(self) -> None:
        """Subscribe to the inbox on the new connection."""
        self._attempt = next(self._attempts)
        self._subscribe(self._inbox, self._attempt)

    def on_subscribed(self, name: bytes, attempt: int) -> None:
        """From now on answers are heard, unless this acknowledges an attempt of an older connection."""
        if attempt == self._attempt:
            self.listening = True
            self.on_listening()

    def on_down(self) -> None:
        """Tell those who wait that no answer will come."""
        self.listening = False
        for receipt in list(self._open.values()):
            receipt.lose()


def _nowhere(name: bytes, attempt: int) -> None:
    raise RuntimeError("listen_through() must be called before the bus runs")
