"""Chunks: how many bytes are parked for all seats together, each byte counted once, whoever else holds it. No I/O."""

REFERENCE_BYTES = 64  # of memory, for each time that a seat holds a chunk: its place in a queue, and the object's head


class Chunks:
    """The bytes objects that seats hold, and how many seats hold each; the seats keep them alive."""

    def __init__(self) -> None:
        self.size = 0  # bytes
        self._references = 0
        self._holders: dict[int, int] = {}  # by the identity of the object

    @property
    def memory(self) -> int:
        """About how many bytes of memory all of them take."""
        return self.size + REFERENCE_BYTES * self._references

    def hold(self, chunk: bytes) -> None:
        """One more seat holds a chunk, or the same seat once more."""
        holders = self._holders.get(id(chunk), 0)
        self._holders[id(chunk)] = holders + 1
        self._references += 1
        if not holders:
            self.size += len(chunk)

    def let_go(self, chunk: bytes) -> None:
        """A seat does not hold a chunk any more."""
        holders = self._holders.pop(id(chunk))
        self._references -= 1
        if holders > 1:
            self._holders[id(chunk)] = holders - 1
        else:
            self.size -= len(chunk)

    def has(self, chunk: bytes) -> bool:
        """Say whether a seat holds this object."""
        return id(chunk) in self._holders
