"""Session forwarding: whichever edge gets a change of channels, the edge that holds the session carries it out.

The session's id in front of the dot names that edge (edge/subscribers/sessions.py), so only that one is asked. The
session of a poll names none, and is whatever a client says: all edges are asked, but for a few sessions at a time. The
change itself is in edge/subscribers/changes.py. A fresh token goes with it, and is checked where the session is held:
there the channels and the user are known that it must name. An edge of an older version does not look at it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

from common.errors import LimitError, RequestError, UnavailableError
from common.rpc.client import Replies
from edge.cluster.cursor_names import CursorNames
from edge.engine.grants import Grants
from edge.protocol.limits import MAX_OPERATIONS
from edge.protocol.operations import Operation, parse_operation
from edge.state import Seat
from edge.subscribers.changes import ChannelChanges
from edge.subscribers.pending import ATTACH_TIMEOUT
from edge.subscribers.sessions import Sessions
from edge.tokens.grant import TokenError, TokenReason

FORWARD_TIMEOUT = ATTACH_TIMEOUT + 0.5  # seconds for another edge's reply: it may wait ATTACH_TIMEOUT for a channel
SILENT = "an edge that may hold this session does not answer now; try again"
TOO_MANY_ASKS = "too many sessions are being asked for that this edge does not hold; try again"
NOT_YOURS = "token: this poll came without one, so it may be anybody's; poll again with the token"
NOT_HELD = "no connection with this session is held; subscribe again"

#: Asks one edge, or all of them if the edge is None, as `common.rpc.client.EdgeClient.ask` does.
Ask = Callable[[str | None, str, Mapping[str, object], float], Awaitable[Replies]]


class SessionForwarder:
    """Changes the channels of any session of the cluster; all edges are asked for `max_asks` sessions at a time."""

    def __init__(
        self,
        sessions: Sessions,
        changes: ChannelChanges,
        cursor_names: CursorNames,
        grants: Grants,
        ask: Ask,
        *,
        max_asks: int,
    ) -> None:
        self._cursor_names = cursor_names
        self._sessions = sessions
        self._changes = changes
        self._grants = grants
        self._ask = ask
        self._max_asks = max_asks
        self._asks = 0  # under way

    async def change(
        self, session: str, operations: Sequence[Operation], values: Sequence[object], token: str = ""
    ) -> list[str]:
        """Change a session's channels, and return the names of those that it has afterwards.

        `values` are the same operations as JSON values; a `token` replaces the session's before. Raises `RequestError`:
        401 or 403 for the token, 404 if no edge holds the session, 429 if too many are asked for, or too many long
        names are kept, 503 if an edge that may hold it, or Redis for such names, does not answer.
        """
        try:
            return await self._change_here(session, operations, token)
        except RequestError as error:
            owner = session.partition(".")[0] if "." in session else None
            if error.status != 404 or owner == self._sessions.edge_id:
                raise
        question = {"session": session, "ops": values} | ({"token": token} if token else {})
        if owner is not None:
            return _merge(await self._ask(owner, "change", question, FORWARD_TIMEOUT))
        return _merge(await self._ask_all(question))

    async def _ask_all(self, question: Mapping[str, object]) -> Replies:
        """Ask all edges, unless too many of these questions are under way."""
        if self._asks >= self._max_asks:
            raise LimitError(TOO_MANY_ASKS, "session_asks")
        self._asks += 1
        try:
            return await self._ask(None, "change", question, FORWARD_TIMEOUT)
        finally:
            self._asks -= 1

    async def on_change(self, fields: Mapping[str, Any]) -> dict[str, object]:
        """Carry out the `change` of another edge, and return the fields of the reply; raises `RequestError`."""
        session, values, token = fields.get("session"), fields.get("ops"), fields.get("token", "")
        if not isinstance(session, str) or not isinstance(values, list) or len(values) > MAX_OPERATIONS:
            raise RequestError("change: give a session and a list of ops", 400)
        if not isinstance(token, str):
            raise RequestError("token: must be a string", 400)
        return {"channels": await self._change_here(session, [parse_operation(value) for value in values], token)}

    async def _change_here(self, session: str, operations: Sequence[Operation], token: str) -> list[str]:
        seat = self._sessions.find(session)
        if seat is None:
            raise RequestError(NOT_HELD, 404)
        if token and self._grants.guard is not None:
            self._check_own(seat)
            self._grants.renew(seat, token, self._changes.names(seat))
        if not operations:
            return self._changes.names(seat)
        names = await self._cursor_names.prepare(seat, operations)
        if self._sessions.find(session) is not seat:
            raise RequestError(NOT_HELD, 404)
        done: asyncio.Future[list[str] | None] = asyncio.get_running_loop().create_future()
        self._changes.change(seat, operations, partial(_resolve, done), names)
        channels = await done
        if channels is None:
            raise RequestError(NOT_HELD, 404)
        return channels

    def _check_own(self, seat: Seat) -> None:
        """Raise `TokenError` for a poll that has no token: its session is its client's word, and may be another's."""
        if seat.framing is not None and seat.framing.single_response and self._grants.of(seat) is None:
            raise TokenError(TokenReason.USER, NOT_YOURS)


def _resolve(future: asyncio.Future[list[str] | None], channels: list[str] | None) -> None:
    if not future.cancelled():
        future.set_result(channels)


def _merge(asked: Replies) -> list[str]:
    """Return the channels in the reply of the edge that holds the session; raises `RequestError` if there is none."""
    for reply in asked.replies:
        if reply.error is None:
            return [str(name) for name in reply.fields.get("channels", ())]
    for reply in asked.replies:
        if reply.error is not None and reply.error.status in {401, 403}:
            reason = TokenReason.CHANNEL if reply.error.status == 403 else TokenReason.CLAIM
            raise TokenError(reason, reply.error.sentence)
    troubles = [reply.error for reply in asked.replies if reply.error is not None and reply.error.status != 404]
    if troubles or asked.silent:
        raise UnavailableError(troubles[0].sentence if troubles else SILENT)
    raise RequestError(NOT_HELD, 404)
