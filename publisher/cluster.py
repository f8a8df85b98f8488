"""All edges, as a publisher asks them: a question goes to all of them at once, and their replies are summed."""

from collections.abc import Callable, Mapping

from redis import RedisError

from common.errors import UnavailableError
from common.logs import get_logger
from common.rpc.client import EdgeClient, Replies
from common.rpc.messages import Reply
from common.rpc.registry import EdgeRegistry
from publisher.announcements import count_of, is_announcement, named


class Cluster:
    """Asks every edge. Each answer has JSON values; its `silent` is the count of edges that did not reply in time.

    `on_unreadable` is called with the number of announcements that no edge can have made.
    """

    def __init__(
        self, edges: EdgeClient, registry: EdgeRegistry, on_unreadable: Callable[[int], None] = lambda number: None
    ) -> None:
        self._edges = edges
        self._registry = registry
        self._on_unreadable = on_unreadable
        self._has_told = False

    async def announced(self) -> dict[str, object]:
        """Return the last announcement of every edge, without asking the edges; raises `UnavailableError`.

        What no edge can have announced is left out, and some of it is named.
        """
        try:
            found = await self._registry.read()
        except (RedisError, OSError):
            raise UnavailableError("redis does not tell which edges there are; try again") from None
        unreadable = [edge_id for edge_id, about in found.items() if not is_announcement(edge_id, about)]
        self._tell(unreadable)
        edges = [about for edge_id, about in found.items() if edge_id not in unreadable]
        return {"edges": edges} | ({"unreadable": named(unreadable)} if unreadable else {})

    def _tell(self, unreadable: list[str]) -> None:
        """Count announcements that cannot be read, and log them once until there are none."""
        self._on_unreadable(len(unreadable))
        if unreadable and not self._has_told:
            get_logger().warning("an announcement in redis is of no edge; it is left out", ids=named(unreadable))
        self._has_told = bool(unreadable)

    async def about_channel(self, channel: str) -> dict[str, object]:
        """Return how many subscribers a channel has, in all and on each edge; raises `RequestError`."""
        replies = await self._edges.ask(None, "info", {"id": channel})
        return {"id": channel, **_sum(replies, "subscribers")}

    async def about_edges(self) -> dict[str, object]:
        """Return what every edge says of itself, and the sum of their connections; raises `RequestError`."""
        replies = await self._edges.ask(None, "info")
        edges = sorted((reply.fields for reply in _good(replies)), key=lambda fields: str(fields.get("id")))
        return {"connections": sum(map(_connections, edges)), "edges": edges, **_missing(replies)}

    async def close(self, channel: str) -> dict[str, object]:
        """Close a channel's connections on all edges and return how many there were; raises `RequestError`."""
        replies = await self._edges.ask(None, "close", {"id": channel})
        return {"id": channel, **_sum(replies, "closed")}

    async def broadcast(self, content: str, event: str) -> dict[str, object]:
        """Send a message to every subscriber and return how many there were; raises `RequestError`."""
        replies = await self._edges.ask(None, "broadcast", {"content": content, "event": event})
        return _sum(replies, "subscribers")


def _good(replies: Replies) -> list[Reply]:
    return [reply for reply in replies.replies if reply.error is None]


def _sum(replies: Replies, field: str) -> dict[str, object]:
    """Return the sum of a field over all edges, its value on each edge, and what is missing from the sum."""
    counts = {reply.edge: _count(reply.fields, field) for reply in _good(replies)}
    return {field: sum(counts.values()), "edges": counts, **_missing(replies)}


def _missing(replies: Replies) -> dict[str, object]:
    """Return the count of edges that did not reply, and the error of each edge that refused."""
    errors = {reply.edge: reply.error.sentence for reply in replies.replies if reply.error is not None}
    return {"silent": replies.silent} | ({"errors": errors} if errors else {})


def _count(fields: Mapping[str, object], field: str) -> int:
    return count_of(fields.get(field))


def _connections(edge: Mapping[str, object]) -> int:
    """Return how many connections an edge holds, over all transports."""
    by_transport = edge.get("connections")
    if not isinstance(by_transport, dict):
        return 0
    return sum(map(count_of, by_transport.values()))
