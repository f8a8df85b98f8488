"""The lists of names that edges keep in Redis, in memory; it fails, or is full, when told to."""

from collections.abc import Callable, Iterable, Sequence

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoPermissionError, OutOfMemoryError

from common.names import RedisNames
from edge.cluster.name_lists import Command, NameLists
from edge.state import Seat


class NamesInMemory:
    """As much of Redis as lists of names need."""

    def __init__(self) -> None:
        self.values: dict[object, bytes] = {}
        self.commands: list[Command] = []
        self.failing = False
        self.full = False
        self.denied = False

    async def ask(self, commands: Sequence[Command]) -> list[object]:
        """Answer some commands."""
        if self.failing:
            raise RedisConnectionError("the fake fails")
        self.commands += commands
        return [self._answer(*command) for command in commands]

    def lists(
        self,
        clock: Callable[[], float],
        seats: Iterable[Seat] = (),
        *,
        max_bytes: int = 1_000_000,
        edge_id: str = "edge",
    ) -> NameLists:
        """Return what an edge has that keeps its lists here."""
        return NameLists(edge_id, self.ask, RedisNames("t:"), seats, clock, lifetime=300, max_bytes=max_bytes)

    def _answer(self, name: object, key: object, *arguments: object) -> object:
        if self.denied:
            return NoPermissionError("this user has no permissions to access one of the keys")
        if name == "SET" and isinstance(arguments[0], bytes):
            if self.full:
                return OutOfMemoryError("command not allowed when used memory > 'maxmemory'.")
            self.values[key] = arguments[0]
            return True
        if name == "EXPIRE":
            return (self.values.pop(key, None) if arguments == (0,) else self.values.get(key)) is not None
        return self.values.get(key)
