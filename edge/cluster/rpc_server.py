"""What this edge is asked over Redis by publishers and other edges, and what it replies.

Whatever arrives, something is replied if it can be: an edge that stays silent is waited for.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from redis import RedisError

from common.errors import FrameError, RequestError, UnavailableError
from common.logs import get_logger
from common.names import RedisNames
from common.rpc.messages import Request, decode_request, encode_error, encode_reply, read_address
from common.tasks import Tasks, Worker
from edge.counters import Counters

MAX_REQUESTS = 256  # under way; more are refused
MAX_DUE = 10_000  # answers that wait for Redis; no asker waits for them as long as more would take

#: Publishes several messages, each with the Redis name it goes to.
PublishAll = Callable[[Sequence[tuple[bytes, bytes]]], Awaitable[object]]
#: Does what one operation asks for; gets its fields, returns those of the reply, and may raise `RequestError`.
Handler = Callable[[dict[str, Any]], Awaitable[Mapping[str, object]]]


class ReplySender:
    """Collects the answers of a turn and sends them together."""

    def __init__(self, names: RedisNames, publish: PublishAll, counters: Counters) -> None:
        self._names = names
        self._publish = publish
        self._counters = counters
        self._due: list[tuple[bytes, bytes]] = []
        self._worker = Worker(self._send)

    def add_receipt(self, inbox: str, subscribers: int) -> None:
        """Answer a message that carried `inbox` (`owner.number`) with the number of its subscribers."""
        self.add(inbox, b"%d" % subscribers)

    def add(self, inbox: str, answer: bytes) -> None:
        """Send an answer to an inbox, `owner.number`; anything else gets none."""
        try:
            address = read_address(inbox)
        except FrameError:
            return
        if len(self._due) >= MAX_DUE:
            self._counters.dropped_total["receipt"] += 1
            return
        self._due.append((self._names.inbox(address.owner), b"%d %b" % (address.number, answer)))
        self._worker.wake()

    async def _send(self) -> None:
        while self._due:
            due, self._due = self._due, []
            try:
                await self._publish(due)
            except (RedisError, OSError):
                self._counters.dropped_total["receipt"] += len(due)  # the asker waits no longer than 250 ms
            else:
                self._counters.receipts_total += len(due)


class RpcServer:
    """Hands each request to the handler of its operation; a request has at most `max_bytes`."""

    def __init__(
        self,
        edge_id: str,
        replies: ReplySender,
        handlers: Mapping[str, Handler],
        counters: Counters,
        *,
        max_bytes: int,
    ) -> None:
        self._handlers = handlers
        self._edge_id = edge_id
        self._replies = replies
        self._counters = counters
        self._max_bytes = max_bytes
        self._tasks = Tasks(MAX_REQUESTS)

    def on_message(self, payload: bytes) -> None:
        """Take what arrived on a channel of this edge; what is no request is counted and has no other effect."""
        try:
            if len(payload) > self._max_bytes:
                raise FrameError(f"a control request has at most {self._max_bytes} bytes")
            request = decode_request(payload)
            handler = self._handler(request.op)
        except FrameError:
            self._counters.control_total["malformed"] += 1
        except RequestError as error:
            self._counters.control_total["refused"] += 1
            self._replies.add(request.inbox, encode_error(self._edge_id, error))
        else:
            self._counters.control_total[request.op] += 1
            self._tasks.start(self._serve(handler, request))

    async def stop(self) -> None:
        """Give up what is under way."""
        await self._tasks.cancel_all()

    def _handler(self, op: str) -> Handler:
        """Return what does an operation; raises `RequestError` if this edge does not know it, or has no room."""
        if op not in self._handlers:
            raise RequestError(f"op: this edge does not know {op!r}; it may be an older version", 501)
        if self._tasks.is_full:
            raise UnavailableError("this edge has too many requests at once; try again")
        return self._handlers[op]

    async def _serve(self, handler: Handler, request: Request) -> None:
        try:
            reply = encode_reply(self._edge_id, await handler(request.fields))
        except RequestError as error:
            reply = encode_error(self._edge_id, error)
        except Exception:
            get_logger().exception("a control request failed unexpectedly", op=request.op)
            reply = encode_error(self._edge_id, RequestError("the edge failed; its log says why", 500))
        self._replies.add(request.inbox, reply)
