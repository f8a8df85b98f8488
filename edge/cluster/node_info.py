"""Report: what this edge tells of itself and of its channels."""

import socket
import time
from collections.abc import Callable, Sequence
from typing import Any

from common.errors import BadRequestError
from common.names import check_channel
from common.service.admin import Check
from common.version import our_version
from edge.channels.hub import Hub
from edge.counters import Counters
from edge.framing import TRANSPORTS


class NodeInfo:
    """Looks up what publishers ask for."""

    def __init__(
        self,
        edge_id: str,
        hub: Hub,
        counters: Counters,
        clock: Callable[[], float],
        readiness: Callable[[], Sequence[Check]],
    ) -> None:
        self.ports: dict[str, int] = {}  # filled by the app once they are known
        self._edge_id = edge_id
        self._hub = hub
        self._counters = counters
        self._clock = clock
        self._readiness = readiness
        self._started = time.time()

    async def on_info(self, fields: dict[str, Any]) -> dict[str, object]:
        """Reply to `info`: about one channel if there is an `id`, else about the whole edge."""
        if "id" not in fields:
            return self.about_edge()
        channel = self._hub.channels.get(channel_name(fields))
        return {"subscribers": channel.subscribers(self._clock()) if channel else 0}

    def about_edge(self) -> dict[str, object]:
        """Return the whole edge as JSON values."""
        counters = self._counters
        checks = {check.name: check.ok for check in self._readiness()}
        return {
            "id": self._edge_id,
            "host": socket.gethostname(),
            "version": our_version(),
            "started": int(self._started),
            "uptime": int(time.time() - self._started),
            **self.ports,
            "ready": all(checks.values()),
            "draining": not checks["drain"],
            "connections": {transport: counters.held(transport) for transport in TRANSPORTS},
            "delivered": counters.delivered_total.total(),
            "channels": len(self._hub.channels),
        }


def channel_name(fields: dict[str, Any]) -> str:
    """Return the channel that a request names; raises `BadRequestError`."""
    name = fields.get("id")
    if not isinstance(name, str):
        raise BadRequestError("id: must be a string, the name of a channel")
    return check_channel(name)
