"""The HTTP side of the cluster: count subscribers, list the edges, close connections, broadcast."""

from collections.abc import Callable

from aiohttp import web

from common.access.keys import Key
from common.errors import RequestError
from common.logs import get_logger
from common.service.http import json_answer
from publisher.api.auth import caller_of
from publisher.api.http_request import body_of, check_json, is_form, query_of
from publisher.api.rate import PublishRate
from publisher.cluster import Cluster
from publisher.request import parse_broadcast, parse_channel

OK = 200


class ClusterApi:
    """The handlers of `/info`, `/check`, `/close`, `/broadcast` and `/admin/edges`.

    `limit` is the largest payload in bytes, `count` is called with the HTTP status of each broadcast.
    """

    def __init__(self, cluster: Cluster, limit: int, count: Callable[[int], None], rate: PublishRate) -> None:
        self._cluster = cluster
        self._limit = limit
        self._count = count
        self._rate = rate

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Add the routes."""
        router.add_get("/info", self._info)
        router.add_get("/check", self._check)
        router.add_post("/close", self._close)
        router.add_post("/broadcast", self._broadcast)
        router.add_get("/admin/edges", self._edges)

    async def _info(self, request: web.Request) -> web.Response:
        """Answer with the subscribers of one channel, or with what every edge says of itself."""
        channel = parse_channel(query_of(request), required=False)
        _check_asker(caller_of(request), channel)
        about = self._cluster.about_channel(channel) if channel else self._cluster.about_edges()
        return json_answer(await about)

    async def _check(self, request: web.Request) -> web.Response:
        """Answer whether a channel has any subscriber."""
        channel = parse_channel(query_of(request))
        _check_asker(caller_of(request), channel)
        about = await self._cluster.about_channel(channel)
        return json_answer({"id": about["id"], "connected": bool(about["subscribers"]), "silent": about["silent"]})

    async def _edges(self, request: web.Request) -> web.Response:
        """Answer with the last announcement of every edge."""
        return json_answer(await self._cluster.announced())

    async def _close(self, request: web.Request) -> web.Response:
        body = await body_of(request) if is_form(request) else b""
        channel = parse_channel(query_of(request), body)
        get_logger().info("closing the connections of a channel", id=channel, key=caller_of(request).name)
        return json_answer(await self._cluster.close(channel))

    async def _broadcast(self, request: web.Request) -> web.Response:
        try:
            answer = await self._send_broadcast(request)
        except RequestError as error:
            self._count(error.status)
            raise
        self._count(OK)
        return json_answer(answer)

    async def _send_broadcast(self, request: web.Request) -> dict[str, object]:
        is_json = not is_form(request)
        if is_json:
            check_json(request)
        message = parse_broadcast(query_of(request), await body_of(request), self._limit, is_json=is_json)
        caller = caller_of(request)
        self._rate.spend(caller, 1)
        get_logger().info("broadcasting", bytes=len(message.payload), key=caller.name)
        return await self._cluster.broadcast(message.payload.decode(), message.event)


def _check_asker(caller: Key, channel: str) -> None:
    """Raise `RequestError` if a key is for some channels only, and asks for another, or for all."""
    if channel:
        caller.check_channel(channel)
    else:
        caller.check_scope("?id= with one of these")
