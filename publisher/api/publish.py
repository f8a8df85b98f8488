"""The publisher's HTTP side: reads a request, has it published, and words the answer."""

from collections.abc import Callable, Sequence

from aiohttp import web

from common.errors import BadRequestError, RequestError, UnavailableError
from common.service.http import error_headers, error_object, errors_as_json, json_answer
from publisher.api.auth import guard
from publisher.api.http_request import body_of, check_json, is_form, query_of
from publisher.redis_publisher import Outcome, RedisPublisher
from publisher.request import Batch, Entry, PublishRequest, parse_demo, parse_form, parse_json

MIB = 1 << 20
ENCODED = 6  # bytes that one byte of a message may take in a body: \u0000
OK, NOT_FOUND = 200, 404


class Api:
    """The handlers of `/pub` and `/demo/pub`.

    `limit` is the largest payload in bytes, `count` is told the status of each message.
    """

    def __init__(
        self,
        redis_publisher: RedisPublisher,
        limit: int,
        count: Callable[[int], None],
        *,
        keeps_history: bool = True,
        keys: Sequence[str] = (),
    ) -> None:
        self._redis_publisher = redis_publisher
        self._limit = limit
        self._count = count
        self._keeps_history = keeps_history
        self._keys = keys

    def application(self) -> web.Application:
        """Return the aiohttp application."""
        app = web.Application(
            middlewares=[errors_as_json, guard(self._keys)], client_max_size=ENCODED * self._limit + MIB
        )
        app.router.add_get("/pub", self._form, allow_head=False)  # a HEAD must not publish
        app.router.add_post("/pub", self._post)
        app.router.add_post("/demo/pub", self._demo)
        return app

    async def _post(self, request: web.Request) -> web.Response:
        """Tell the two variants apart by the content type; without a body it is the seed's with a query."""
        if is_form(request):
            return await self._form(request)
        return await self._json(request, parse_json)

    async def _demo(self, request: web.Request) -> web.Response:
        """Publish for a demo page: JSON only, which no browser sends here for a page of a foreign origin."""
        return await self._json(request, parse_demo)

    async def _form(self, request: web.Request) -> web.Response:
        """Answer the seed's variant in plain text: `ok`, or who is not connected on any edge.

        While this publisher cannot hear the edges' receipts, any edge that Redis handed the message to counts as
        somebody connected.
        """
        try:
            requests = parse_form(query_of(request), await body_of(request), self._limit)
            self._check_keys(requests)
            outcomes = _all_or_error(await self._redis_publisher.publish(requests))
        except RequestError as error:
            self._count(error.status)
            return web.Response(text=f"{error}\n", status=error.status, headers=error_headers(error))
        status, sentence = _seed_answer([each.channel for each in requests], outcomes)
        for _ in requests:
            self._count(status)
        return web.Response(text=f"{sentence}\n", status=status)

    async def _json(self, request: web.Request, parse: Callable[[bytes, int], Batch]) -> web.Response:
        try:
            return await self._answer(request, parse)
        except RequestError as error:
            self._count(error.status)
            raise

    async def _answer(self, request: web.Request, parse: Callable[[bytes, int], Batch]) -> web.Response:
        check_json(request)
        entries, single = parse(await body_of(request), self._limit)
        self._check_keys(entries)
        results = await self._redis_publisher.publish(entries)
        if single:
            _all_or_error(results)
        _check_anything_sent(results)
        for result in results:
            self._count(result.status if isinstance(result, RequestError) else OK)
        answers = [_json_result(*pair) for pair in zip(entries, results, strict=True)]
        return json_answer(answers[0] if single else answers)

    def _check_keys(self, entries: Sequence[Entry]) -> None:
        """Refuse a key that nobody would remember, rather than publish twice what must come once."""
        if not self._keeps_history and any(isinstance(entry, PublishRequest) and entry.key for entry in entries):
            raise BadRequestError("key: nothing is remembered here (COMET_HISTORY_SIZE=0); publish without a key")


def _all_or_error(results: Sequence[Outcome | RequestError]) -> list[Outcome]:
    """Return the outcomes; raises the first error if there is one."""
    outcomes = []
    for result in results:
        if isinstance(result, RequestError):
            raise result
        outcomes.append(result)
    return outcomes


def _check_anything_sent(results: Sequence[Outcome | RequestError]) -> None:
    """Raise `UnavailableError` if Redis was away from the first message on: the whole request may be repeated."""
    if not any(isinstance(result, Outcome) for result in results):
        for result in results:
            if isinstance(result, UnavailableError):
                raise result


def _seed_answer(channels: Sequence[str], outcomes: Sequence[Outcome]) -> tuple[int, str]:
    if any(outcome.connected for outcome in outcomes):
        return OK, "ok"
    return NOT_FOUND, f"id: {', '.join(channels)} not connected"


def _json_result(entry: Entry, result: Outcome | RequestError) -> dict[str, object]:
    if isinstance(result, RequestError):
        return error_object(result)
    answer: dict[str, object] = {"seq": str(result.position)} if result.position else {}
    answer["edges"] = result.edges
    if isinstance(entry, PublishRequest) and entry.receipt:
        answer["subscribers"] = result.subscribers
    return answer
