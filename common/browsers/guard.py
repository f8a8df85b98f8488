"""The rules for browsers' requests as a middleware of the aiohttp services: the publisher and the internal ports."""

from collections.abc import Callable
from typing import NamedTuple

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from common.access.keys import READING
from common.browsers.hosts import Hosts
from common.browsers.orders import Orders
from common.browsers.origins import OriginList
from common.errors import RequestError

HEALTH = frozenset({"/healthz", "/readyz", "/metrics"})  # asked for under any name

Test = Callable[[web.Request], bool]


class Rules(NamedTuple):
    """What is refused to browsers: orders of foreign pages, and requests under a name that is not ours."""

    orders: Orders
    hosts: Hosts


def rules_for(allowed_origins: tuple[str, ...], hosts: tuple[str, ...]) -> Rules:
    """Return the rules that the settings COMET_ALLOWED_ORIGINS and COMET_HOSTS make."""
    return Rules(Orders(OriginList(allowed_origins)), Hosts(hosts))


def is_order(request: web.Request) -> bool:
    """Say whether a request may change something, by its method."""
    return request.method not in READING


def guard(
    rules: Rules,
    count: Callable[[web.Request, int], None],
    *,
    orders: Test = is_order,
    needs_own_name: Test = is_order,
) -> Middleware:
    """Return a middleware that refuses what the rules do not allow; `count` is told each such request and its status.

    `orders` are requests that change something; `needs_own_name` are those that must not come under another's name.
    """

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            if needs_own_name(request) and request.path not in HEALTH:
                rules.hosts.check(request.headers.get("host", ""))
            if orders(request):
                rules.orders.check(request.headers)
        except RequestError as error:
            count(request, error.status)
            raise
        return await handler(request)

    return check
