"""The HTTP side of publishing: a request is read, its messages are published, and the answer says how that went."""

import time
from collections.abc import Callable, Sequence

from aiohttp import web

from common.access.keys import Key
from common.access.rates import Rate
from common.errors import BadRequestError, LimitError, RequestError, UnavailableError
from common.names import ForeignNames
from common.service.http import error_headers, json_answer
from common.service.http_refusals import error_object
from publisher.api.auth import caller_of
from publisher.api.http_request import body_of, check_json, is_form, query_of
from publisher.api.rate import PublishRate
from publisher.redis_publisher import Outcome, RedisPublisher
from publisher.request import Batch, Entry, PublishRequest, parse_demo, parse_form, parse_json

OK, NOT_FOUND = 200, 404
MAX_DEMO_BODY_BYTES = 16384  # one short message, from whoever sees a demo page
MAX_DEMO_RATE = 20  # of them a second, from all together
TOO_OFTEN = f"the demo publishes at most {MAX_DEMO_RATE} messages a second, of all its visitors; try again in a second"

Parse = Callable[[bytes, int], Batch]  # a body and the largest payload to messages
Spend = Callable[[Key, int], None]  # takes a number of messages of a caller's rate, or raises


class PublishApi:
    """The handlers of `/pub` and `/demo/pub`.

    `limit` is the largest payload in bytes, `count` is called with the HTTP status of each message. Without `demo`
    there is no `/demo/pub`.
    """

    def __init__(
        self,
        redis_publisher: RedisPublisher,
        limit: int,
        count: Callable[[int], None],
        foreign: ForeignNames,
        rate: PublishRate,
        *,
        keeps_history: bool,
        demo: bool,
    ) -> None:
        self._redis_publisher = redis_publisher
        self._limit = limit
        self._count = count
        self._foreign = foreign
        self._rate = rate
        self._keeps_history = keeps_history
        self._demo = demo
        self._demo_rate: Rate[None] = Rate(MAX_DEMO_RATE, 1.0, time.monotonic)

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Add the routes."""
        router.add_get("/pub", self._form, allow_head=False)  # a HEAD must not publish
        router.add_post("/pub", self._post)
        if self._demo:
            router.add_post("/demo/pub", self._post_demo)

    async def _post(self, request: web.Request) -> web.Response:
        """Handle a form or JSON, whichever the content type says; a request without a body is a form."""
        if is_form(request):
            return await self._form(request)
        return await self._json(request, parse_json, self._rate.spend)

    async def _post_demo(self, request: web.Request) -> web.Response:
        """Publish for a demo page. JSON only: a browser does not send that here from a page of another origin."""
        return await self._json(request.clone(client_max_size=MAX_DEMO_BODY_BYTES), parse_demo, self._spend_demo)

    def _spend_demo(self, caller: Key, messages: int) -> None:
        """Take messages of the demo, whoever sends them; raises `LimitError` if there are too many of them."""
        if not self._demo_rate.take(None, messages):
            raise LimitError(TOO_OFTEN, "demo", retry_after=1)

    async def _form(self, request: web.Request) -> web.Response:
        """Answer the short form in plain text: `ok`, or the ids without a subscriber on any edge.

        While receipts do not reach this publisher, an edge that Redis handed the message to counts as a subscriber.
        """
        try:
            requests = parse_form(query_of(request), await body_of(request), self._limit)
            caller = caller_of(request)
            for each in requests:
                self._check(each, caller)
            self._check_keys(requests)
            self._rate.spend(caller, len(requests))
            outcomes = _all_or_error(await self._redis_publisher.publish(requests))
        except RequestError as error:
            self._count(error.status)
            return web.Response(text=f"{error}\n", status=error.status, headers=error_headers(error))
        status, sentence = _short_answer([each.channel for each in requests], outcomes)
        for _ in requests:
            self._count(status)
        return web.Response(text=f"{sentence}\n", status=status)

    async def _json(self, request: web.Request, parse: Parse, spend: Spend) -> web.Response:
        try:
            return await self._answer(request, parse, spend)
        except RequestError as error:
            self._count(error.status)
            raise

    async def _answer(self, request: web.Request, parse: Parse, spend: Spend) -> web.Response:
        check_json(request)
        parsed, single = parse(await body_of(request), self._limit)
        caller = caller_of(request)
        entries = (
            [self._own(entry, caller) for entry in parsed] if caller.channels or self._foreign.beginnings else parsed
        )
        self._check_keys(entries)
        spend(caller, sum(isinstance(entry, PublishRequest) for entry in entries))
        results = await self._redis_publisher.publish(entries)
        if single:
            _all_or_error(results)
        else:
            _check_anything_sent(results)
        for result in results:
            self._count(result.status if isinstance(result, RequestError) else OK)
        answers = [_json_result(*pair) for pair in zip(entries, results, strict=True)]
        return json_answer(answers[0] if single else answers)

    def _own(self, entry: Entry, caller: Key) -> Entry:
        """Return an entry, or the error that takes its place if its channel is not for its key or this deployment."""
        try:
            if isinstance(entry, PublishRequest):
                self._check(entry, caller)
        except RequestError as error:
            return error
        return entry

    def _check(self, request: PublishRequest, caller: Key) -> None:
        """Raise `RequestError` for a channel that its key does not have, or that is another deployment's."""
        caller.check_channel(request.channel)
        self._foreign.check(request.channel)

    def _check_keys(self, entries: Sequence[Entry]) -> None:
        """Raise `BadRequestError` for a key that would not be remembered: its message could be published twice."""
        if not self._keeps_history and any(isinstance(entry, PublishRequest) and entry.key for entry in entries):
            raise BadRequestError("key: nothing is remembered here (COMET_HISTORY_SIZE=0); publish without a key")


def _all_or_error(results: Sequence[Outcome | RequestError]) -> list[Outcome]:
    """Return the outcomes; raises the first error among the results."""
    outcomes = []
    for result in results:
        if isinstance(result, RequestError):
            raise result
        outcomes.append(result)
    return outcomes


def _check_anything_sent(results: Sequence[Outcome | RequestError]) -> None:
    """Raise `UnavailableError` if Redis failed at the first message: the whole request may be repeated."""
    if not any(isinstance(result, Outcome) for result in results):
        for result in results:
            if isinstance(result, UnavailableError):
                raise result


def _short_answer(channels: Sequence[str], outcomes: Sequence[Outcome]) -> tuple[int, str]:
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
