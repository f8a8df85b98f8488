"""Session forwarding: a change of channels goes to the edge that holds the session, whichever edge was asked."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

from common.errors import RequestError, UnavailableError
from common.rpc.client import Replies
from edge.protocol.operations import MAX_OPERATIONS, Operation, parse_operation
from edge.subscribers.changes import ChannelChanges
from edge.subscribers.pending import ATTACH_TIMEOUT
from edge.subscribers.sessions import Sessions

FORWARD_TIMEOUT = ATTACH_TIMEOUT + 0.5  # seconds another edge has; a channel may need almost all of them to get ready
SILENT = "an edge that may hold this session does not answer now; try again"
NOT_HELD = "no connection with this session is held; subscribe again"

#: Asks one edge, or all of them if it gets None, as `common.rpc.client.EdgeClient.ask` does.
Ask = Callable[[str | None, str, Mapping[str, object], float], Awaitable[Replies]]


class SessionForwarder:
    """Changes the channels of any session of the deployment."""

    def __init__(self, sessions: Sessions, changes: ChannelChanges, ask: Ask) -> None:
        self._sessions = sessions
        self._changes = changes
        self._ask = ask

    async def change(self, session: str, operations: Sequence[Operation], values: Sequence[object]) -> list[str]:
        """Change a session's channels and return those that it has then; `values` are the operations as they came.

        Raises `RequestError`: 404 if no edge holds it, 503 if an edge that may hold it cannot be asked.
        """
        try:
            return await self._change_here(session, operations)
        except RequestError as error:
            owner = session.partition(".")[0] if "." in session else None
            if error.status != 404 or owner == self._sessions.edge_id:
                raise
        return _merge(await self._ask(owner, "change", {"session": session, "ops": values}, FORWARD_TIMEOUT))

    async def on_change(self, fields: Mapping[str, Any]) -> dict[str, object]:
        """Reply to another edge's `change`."""
        session, values = fields.get("session"), fields.get("ops")
        if not isinstance(session, str) or not isinstance(values, list) or len(values) > MAX_OPERATIONS:
            raise RequestError("change: give a session and a list of ops", 400)
        return {"channels": await self._change_here(session, [parse_operation(value) for value in values])}

    async def _change_here(self, session: str, operations: Sequence[Operation]) -> list[str]:
        seat = self._sessions.find(session)
        if seat is None:
            raise RequestError(NOT_HELD, 404)
        done: asyncio.Future[list[str] | None] = asyncio.get_running_loop().create_future()
        self._changes.change(seat, operations, partial(_resolve, done))
        channels = await done
        if channels is None:
            raise RequestError(NOT_HELD, 404)
        return channels


def _resolve(future: asyncio.Future[list[str] | None], channels: list[str] | None) -> None:
    if not future.cancelled():
        future.set_result(channels)


def _merge(asked: Replies) -> list[str]:
    """Return the channels that the session's edge replied; raises `RequestError` if none did."""
    for reply in asked.replies:
        if reply.error is None:
            return [str(name) for name in reply.fields.get("channels", ())]
    troubles = [reply.error for reply in asked.replies if reply.error is not None and reply.error.status != 404]
    if troubles or asked.silent:
        raise UnavailableError(troubles[0].sentence if troubles else SILENT)
    raise RequestError(NOT_HELD, 404)
