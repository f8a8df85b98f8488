"""The inbox of a process: something goes out to edges with an inbox on it, and every edge it reached answers there.

Redis says how many edges a PUBLISH reached, so we know how many answers to wait for, and no counter has to be kept
anywhere. An answer may arrive before Redis's reply to the PUBLISH: a gathering is opened before the message goes out.
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

PATIENCE = 0.25  # seconds that edges have to answer, unless asked otherwise

T = TypeVar("T")


class PendingReplies(Generic[T]):
    """The answers to one message; it is forgotten as soon as nobody holds it."""

    __slots__ = ("__weakref__", "_answers", "_complete", "_deadline", "_lost", "_read", "inbox", "reached")

    def __init__(self, inbox: str, read: Callable[[bytes], T], *, lost: bool) -> None:
        self.inbox = inbox
        self.reached: int | None = None  # how many edges the message reached
        self._read = read
        self._complete = asyncio.Event()
        self._lost = lost
        self._answers: list[T] = []
        self._deadline = 0.0

    def take(self, answer: bytes) -> None:
        """Take the answer of one edge; raises `FrameError` if it is none."""
        self._answers.append(self._read(answer))
        self._check()

    def lose(self) -> None:
        """Take note that answers cannot be heard any more."""
        self._lost = True
        self._check()

    def sent_to(self, edges: int, patience: float = PATIENCE) -> None:
        """Say how many edges the message reached; they have `patience` seconds from now."""
        self.reached = edges
        self._deadline = asyncio.get_running_loop().time() + patience
        self._check()

    async def answers(self) -> list[T] | None:
        """Wait for the answers and return them; None if nobody could hear them. Call `sent_to` before.

        An edge that does not answer in time is left out.
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
        self.ignored = 0  # answers that were late, forged or malformed
        self._owner = owner
        self._numbers = count(1)
        self._open: WeakValueDictionary[int, PendingReplies[Any]] = WeakValueDictionary()

    def open(self, read: Callable[[bytes], T]) -> PendingReplies[T]:
        """Return a new gathering for a message that is about to go out; `read` raises `FrameError`."""
        number = next(self._numbers)
        gathering = PendingReplies(str(Address(self._owner, number)), read, lost=not self.reachable)
        self._open[number] = gathering
        return gathering

    def on_message(self, payload: bytes) -> None:
        """Hand an answer, `number answer`, to who waits for it; ignore and count whatever is not one."""
        number, _, answer = payload.partition(b" ")
        gathering = self._open.get(int(number)) if is_number(number) else None
        try:
            if gathering is None:
                raise FrameError("nobody waits for this answer")
            gathering.take(answer)
        except FrameError:
            self.ignored += 1

    def on_reachable(self, reachable: bool) -> None:
        """Note that answers begin or cease to reach this process; in the latter case end every wait for them."""
        self.reachable = reachable
        if not reachable:
            for gathering in list(self._open.values()):
                gathering.lose()
