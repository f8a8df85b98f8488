"""Control: what this edge is asked over Redis by publishers and other edges, and what it replies.

Whatever arrives, something is replied if it can be: an edge that stays silent is waited for.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from common.errors import FrameError, RequestError, UnavailableError
from common.logs import get_logger
from common.rpc.messages import Request, decode_request, encode_error, encode_reply
from common.tasks import cancel_all
from edge.cluster.reply_sender import ReplySender
from edge.counters import Counters

MOST_AT_ONCE = 256  # requests under way; more are turned away

#: Does what one operation asks for; gets its fields, returns those of the reply, and may raise `RequestError`.
Handler = Callable[[dict[str, Any]], Awaitable[Mapping[str, object]]]


class RpcServer:
    """Hands each request to the handler of its operation; `most_bytes` is the longest request that is read."""

    def __init__(self, edge_id: str, replies: ReplySender, counters: Counters, *, most_bytes: int) -> None:
        self.handlers: dict[str, Handler] = {}  # filled by the app: operation -> what does it
        self._edge_id = edge_id
        self._replies = replies
        self._counters = counters
        self._most_bytes = most_bytes
        self._tasks: set[asyncio.Task[None]] = set()

    def on_message(self, payload: bytes) -> None:
        """Take what arrived on a control channel; what is no request is counted and has no other effect."""
        try:
            if len(payload) > self._most_bytes:
                raise FrameError(f"a control request has at most {self._most_bytes} bytes")
            request = decode_request(payload)
            handler = self._handler(request.op)
        except FrameError:
            self._counters.control_total["malformed"] += 1
        except RequestError as error:
            self._counters.control_total["refused"] += 1
            self._replies.add(request.inbox, encode_error(self._edge_id, error))
        else:
            self._counters.control_total[request.op] += 1
            self._start(self._serve(handler, request))

    async def stop(self) -> None:
        """Give up what is under way."""
        await cancel_all(*self._tasks)

    def _handler(self, op: str) -> Handler:
        """Return what does an operation; raises `RequestError` if there is nobody for it, or no room."""
        if op not in self.handlers:
            raise RequestError(f"op: this edge does not know {op!r}; it may be an older version", 501)
        if len(self._tasks) >= MOST_AT_ONCE:
            raise UnavailableError("this edge has too many requests at once; try again")
        return self.handlers[op]

    def _start(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, handler: Handler, request: Request) -> None:
        try:
            reply = encode_reply(self._edge_id, await handler(request.fields))
        except RequestError as error:
            reply = encode_error(self._edge_id, error)
        except Exception:
            get_logger().exception("a control request failed unexpectedly", op=request.op)
            reply = encode_error(self._edge_id, RequestError("the edge failed; its log says why", 500))
        self._replies.add(request.inbox, reply)
