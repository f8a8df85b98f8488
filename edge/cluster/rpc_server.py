"""The RPC server: requests that publishers and other edges send to this edge over Redis, and the replies to them.

Every request gets a reply, also one that fails: without it, the process that asks waits until its time-out.
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

MAX_REQUESTS = 256  # of one operation under way at a time; any more are refused
MAX_QUEUED = 10_000  # replies and receipts that wait for Redis; any more would come after the time-out of the request

#: Publishes several messages, each a pair of the Redis name to which it goes and its payload.
PublishAll = Callable[[Sequence[tuple[bytes, bytes]]], Awaitable[object]]
#: Handles one operation: gets the fields of the request, returns those of the reply, and may raise `RequestError`.
Handler = Callable[[dict[str, Any]], Awaitable[Mapping[str, object]]]


class ReplySender:
    """Collects the replies and receipts of a turn, and sends them to Redis together."""

    def __init__(self, names: RedisNames, publish: PublishAll, counters: Counters) -> None:
        self._names = names
        self._publish = publish
        self._counters = counters
        self._queued: list[tuple[bytes, bytes]] = []
        self._worker = Worker(self._send)

    def add_receipt(self, inbox: str, subscribers: int) -> None:
        """Send the number of subscribers that got a message to the inbox that the message carried."""
        self.add(inbox, b"%d" % subscribers)

    def add(self, inbox: str, reply: bytes) -> None:
        """Send a reply to an inbox, which is written `owner.number`; if it is not, drop the reply."""
        try:
            address = read_address(inbox)
        except FrameError:
            return
        if len(self._queued) >= MAX_QUEUED:
            self._counters.dropped_total["receipt"] += 1
            return
        self._queued.append((self._names.inbox(address.owner), b"%d %b" % (address.number, reply)))
        self._worker.wake()

    async def _send(self) -> None:
        while self._queued:
            queued, self._queued = self._queued, []
            try:
                await self._publish(queued)
            except (RedisError, OSError):
                self._counters.dropped_total["receipt"] += len(queued)  # not repeated: they would come too late
            else:
                self._counters.receipts_total += len(queued)


class RpcServer:
    """Passes each request to the handler of its operation; a request has at most `max_bytes` bytes."""

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
        self._tasks: dict[str, Tasks] = {}  # by operation: none takes the places of another

    def on_message(self, payload: bytes) -> None:
        """Handle a payload that arrived on one of this edge's own channels; if it is no request, only count it."""
        try:
            if len(payload) > self._max_bytes:
                raise FrameError(f"a request has at most {self._max_bytes} bytes")
            request = decode_request(payload)
            handler = self._handler(request.op)
        except FrameError:
            self._counters.control_total["malformed"] += 1
        except RequestError as error:
            self._counters.control_total["refused"] += 1
            self._replies.add(request.inbox, encode_error(self._edge_id, error))
        else:
            self._counters.control_total[request.op] += 1
            self._places(request.op).start(self._serve(handler, request))

    async def stop(self) -> None:
        """Cancel the requests that are under way."""
        for tasks in self._tasks.values():
            await tasks.cancel_all()

    def _places(self, op: str) -> Tasks:
        """Return the requests of a known operation that are under way."""
        return self._tasks.setdefault(op, Tasks(MAX_REQUESTS))

    def _handler(self, op: str) -> Handler:
        """Return the handler of an operation; raises `RequestError`: 501 if it is unknown, 503 if there is no room."""
        if op not in self._handlers:
            raise RequestError(f"op: this edge does not know {op!r}; it may be an older version", 501)
        if self._places(op).is_full:
            raise UnavailableError("this edge has too many requests at once; try again")
        return self._handlers[op]

    async def _serve(self, handler: Handler, request: Request) -> None:
        try:
            reply = encode_reply(self._edge_id, await handler(request.fields))
        except RequestError as error:
            reply = encode_error(self._edge_id, error)
        except Exception:
            get_logger().exception("a request over Redis failed unexpectedly", op=request.op)
            reply = encode_error(self._edge_id, RequestError("the edge failed; its log says why", 500))
        self._replies.add(request.inbox, reply)
