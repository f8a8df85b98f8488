"""The reply inbox of a process: a message to edges names it, and every edge that the message reaches answers there.

Redis returns the number of edges that a PUBLISH reached, which is the number of answers to wait for. An answer may
arrive before Redis's reply to the PUBLISH, so `PendingReplies` are opened before the message goes out.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import Any, Generic, TypeVar
from weakref import WeakValueDictionary

from common.errors import FrameError
from common.message import is_number
from common.names import RedisNames
from common.rpc.messages import Address

REPLY_TIMEOUT = 0.25  # seconds that edges have to answer, unless the caller gives others

T = TypeVar("T")


class PendingReplies(Generic[T]):
    """The answers to one message; its inbox holds it weakly, so it ends with its last user."""

    __slots__ = ("__weakref__", "_answers", "_complete", "_deadline", "_lost", "_read", "inbox", "reached")

    def __init__(self, inbox: str, read: Callable[[bytes], T], *, lost: bool) -> None:
        self.inbox = inbox
        self.reached: int | None = None  # the number of edges that the message reached
        self._read = read
        self._complete = asyncio.Event()
        self._lost = lost
        self._answers: list[T] = []
        self._deadline = 0.0

    def add(self, answer: bytes) -> None:
        """Add the answer of one edge; raises `FrameError` if it cannot be read."""
        self._answers.append(self._read(answer))
        self._check()

    def lose(self) -> None:
        """Note that answers cannot reach this process any more."""
        self._lost = True
        self._check()

    def sent_to(self, edges: int, seconds: float = REPLY_TIMEOUT) -> None:
        """Note the number of edges that the message reached; they have `seconds` from now to answer."""
        self.reached = edges
        self._deadline = asyncio.get_running_loop().time() + seconds
        self._check()

    async def answers(self) -> list[T] | None:
        """Wait for the answers and return them, or None if they could not reach this process. Call `sent_to` before.

        The answer of an edge that does not answer in time is missing.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self._deadline):
                await self._complete.wait()
        return None if self._lost else self._answers

    def _check(self) -> None:
        if self.reached is not None and (self._lost or len(self._answers) >= self.reached):
            self._complete.set()


class ReplyInbox:
    """Where the answers of edges to one process arrive; `name` is its channel, to be given to `subscribe_own`."""

    def __init__(self, names: RedisNames, owner: str) -> None:
        self.name = names.inbox(owner)
        self.reachable = False  # answers reach this process
        self.ignored = 0  # the number of answers that were late, forged or malformed
        self._owner = owner
        self._numbers = count(1)
        self._open: WeakValueDictionary[int, PendingReplies[Any]] = WeakValueDictionary()

    def open(self, read: Callable[[bytes], T]) -> PendingReplies[T]:
        """Return new pending replies for a message that is about to go out; `read` raises `FrameError`."""
        number = next(self._numbers)
        pending = PendingReplies(str(Address(self._owner, number)), read, lost=not self.reachable)
        self._open[number] = pending
        return pending

    def on_message(self, payload: bytes) -> None:
        """Add an answer, `number answer`, to its pending replies; ignore and count anything else."""
        number, _, answer = payload.partition(b" ")
        pending = self._open.get(int(number)) if is_number(number) else None
        try:
            if pending is None:
                raise FrameError("no pending replies have this number")
            pending.add(answer)
        except FrameError:
            self.ignored += 1

    def on_reachable(self, reachable: bool) -> None:
        """Note that answers begin or cease to reach this process; in the latter case end every wait for them."""
        self.reachable = reachable
        if not reachable:
            for pending in list(self._open.values()):
                pending.lose()
