"""Changes of a session's channels as requests: `POST /sub/<session>`, whichever edge holds the session."""

from collections.abc import Callable, Sequence

from common.errors import RequestError
from common.tasks import Tasks
from edge.cluster.forwarding import FORWARD_TIMEOUT, SessionForwarder
from edge.engine.wheel import Wheel
from edge.framing.http import change_response
from edge.framing.transports import framing_for
from edge.protocol.http import CHANGE_PATH, Request
from edge.protocol.operations import Op, Operation, load_operations, parse_operation
from edge.protocol.subscribe import PROPORTION
from edge.server.answers import Answers
from edge.server.clients import Clients
from edge.state import Pending, Seat
from edge.subscribers.pending import ATTACH_TIMEOUT
from edge.tokens.guard import Guard

CHANGE_TIMEOUT = FORWARD_TIMEOUT + ATTACH_TIMEOUT  # seconds that a change may take, wherever the session is held
NO_OPERATIONS = (b"", b"[]")  # bodies of a request that only brings a fresh token
NOT_CHANGED = f"the channels could not be changed within {CHANGE_TIMEOUT:g} seconds; try again"


class SessionChanges:
    """Has the edge that holds a session carry out the operations of a request, and answers that."""

    def __init__(
        self,
        forwarder: SessionForwarder,
        answers: Answers,
        wheel: Wheel[Seat],
        clock: Callable[[], float],
        clients: Clients | None,
        max_operations: int,
        guard: Guard | None = None,
    ) -> None:
        self._forwarder = forwarder
        self._answers = answers
        self._wheel = wheel
        self._clock = clock
        self._clients = clients
        self._max_operations = max_operations
        self._guard = guard
        self._under_way = Tasks()

    async def stop(self) -> None:
        """Cancel what is under way."""
        await self._under_way.cancel_all()

    def begin(self, seat: Seat, request: Request, body: bytes) -> None:
        """Begin a change; the next request on this connection waits. Raises `RequestError`."""
        pending = Pending(seat, framing_for("poll", self._answers.plain(request)))
        token = self._guard.token_of_change(request) if self._guard is not None else ""
        is_only_token = token and body in NO_OPERATIONS
        values = [] if is_only_token else load_operations(body, self._max_operations)
        operations = [parse_operation(value) for value in values]
        self._check_client(seat, request, [operation for operation in operations if operation.op is Op.SUB])
        seat.wait(pending)
        self._wheel.schedule(seat, self._clock() + CHANGE_TIMEOUT)
        self._under_way.start(self._answer(pending, request, operations, values, token))

    def _check_client(self, seat: Seat, request: Request, subs: Sequence[Operation]) -> None:
        """Raise `RequestError` 429 if a client subscribes to more than it may."""
        if self._clients is None or not subs:
            return
        names, goes_back = [sub.channel for sub in subs], any(sub.goes_back for sub in subs)
        refusal = self._clients.refusal(seat, request.headers, names, holds=False, goes_back=goes_back)
        if refusal:
            raise RequestError(refusal, 429)

    async def _answer(
        self, pending: Pending, request: Request, operations: Sequence[Operation], values: Sequence[object], token: str
    ) -> None:
        session = request.path.removeprefix(CHANGE_PATH)
        try:
            channels = await self._forwarder.change(session, operations, values, token)
        except RequestError as error:
            if pending.is_alive:
                pending.seat.detach()
                self._answers.refuse(pending.seat, request, error)
        else:
            if pending.is_alive:
                pending.seat.detach()
                most = PROPORTION * (request.size + request.length)
                answer = change_response(channels, pending.framing.variant, most)
                self._answers.send(pending.seat, answer, request.keep_alive)
