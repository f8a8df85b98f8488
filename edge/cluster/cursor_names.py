"""Before the channels of a subscriber change: if its cursor will be too long to name them, the names are stored."""

from collections.abc import Sequence

from common.position import NamedPositions, NameList, is_long
from edge.cluster.name_lists import NameLists
from edge.protocol.operations import Operation
from edge.state import Seat
from edge.subscribers.changes import ChannelChanges


class CursorNames:
    """Prepares changes of channels."""

    def __init__(self, changes: ChannelChanges, lists: NameLists) -> None:
        self._changes = changes
        self._lists = lists

    async def prepare(self, seat: Seat, operations: Sequence[Operation]) -> NameList | None:
        """Return a stored list of all channels that a seat may have after some operations; None if it needs none.

        The operations must be carried out before anything else happens: those of another request may add channels.
        Raises `RequestError` if the names cannot be stored; then the channels stay as they are.
        """
        stored = seat.positions.names if isinstance(seat.positions, NamedPositions) else None
        while seat.framing is not None and seat.framing.cursor_in_bytes:
            wanted = self._changes.names_wanted(seat, operations)
            if not is_long(wanted):
                return None
            if stored is not None and wanted.keys() <= set(stored.names):
                return stored
            stored = await self._lists.store(tuple(wanted), seat)
        return None
