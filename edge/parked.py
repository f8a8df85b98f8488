"""What is parked for one seat: the bytes that the kernel has not accepted yet, and how much it accepts. Pure.

The bytes are a queue of chunks. A chunk is a bytes object, whole and unchanged, that other seats may hold, too: nothing
is copied, however many seats are behind on the same message. A write has one chunk, or two: a short one of the seat's
own and a shared one behind it. Chunks may be sent in part, writes are never broken off.
"""

from collections import deque
from collections.abc import Sequence
from itertools import islice

NEVER = float("inf")
MAX_PIECES = 256  # chunks of one call; the kernel takes a thousand


class Parked:
    """The chunks of one seat and the sizes of its writes; since when they wait; how much the kernel accepts."""

    __slots__ = ("choked_since", "chunks", "is_begun", "is_counted", "sent", "since", "size", "sizes", "taken")

    def __init__(self, since: float) -> None:
        self.since = since  # when its clock started (O1), in seconds
        self.taken = 0  # bytes that the kernel has accepted since then
        self.choked_since = NEVER  # when it was choked (O2), in seconds; NEVER while it is not
        self.chunks: deque[bytes] = deque()
        self.sent = 0  # bytes of the first chunk that are sent
        self.size = 0  # bytes that are not sent
        self.sizes: deque[int] = deque()  # of the writes; of the first one only what is left
        self.is_begun = True  # the kernel has accepted a part of the first write
        self.is_counted = False  # as evicted; it may be told so, and be evicted again

    @property
    def behind(self) -> int:
        """How many bytes wait behind the write that is under way."""
        return self.size - self.sizes[0] if self.sizes else 0

    def append(self, *chunks: bytes) -> None:
        """Let one more write wait."""
        size = sum(map(len, chunks))
        self.chunks += chunks
        self.size += size
        self.sizes.append(size)

    def pieces(self) -> Sequence[bytes | memoryview]:
        """Return what is to be sent next, at most MAX_PIECES of it."""
        pieces: list[bytes | memoryview] = list(islice(self.chunks, MAX_PIECES))
        if self.sent:
            pieces[0] = memoryview(pieces[0])[self.sent :]
        return pieces

    def accept(self, count: int) -> list[bytes]:
        """The kernel has accepted `count` bytes more; return the chunks that are sent with that."""
        self._count_writes(count)
        self.size -= count
        self.sent += count
        done = []
        while self.chunks and self.sent >= len(self.chunks[0]):
            done.append(self.chunks.popleft())
            self.sent -= len(done[-1])
        return done

    def _count_writes(self, count: int) -> None:
        while self.sizes and count >= self.sizes[0]:
            count -= self.sizes.popleft()
            self.is_begun = False
        if count and self.sizes:
            self.sizes[0] -= count
            self.is_begun = True

    def drop(self) -> list[bytes]:
        """Drop all writes but the one that is begun; return the chunks that are gone."""
        kept = self.sizes[0] if self.is_begun and self.sizes else 0
        self.sizes = deque([kept] if kept else ())
        gone = []
        while self.size > kept:
            gone.append(self.chunks.pop())
            self.size -= len(gone[-1])
        return gone
