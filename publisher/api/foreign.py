"""What the publisher's routes refuse to browsers: orders of foreign pages, and requests under another's name."""

from collections import Counter
from collections.abc import Callable

from aiohttp import web
from aiohttp.typedefs import Middleware

from common.browsers.guard import Rules, guard, is_order
from publisher.api.demo import is_of_the_demo

ORDER_BY_GET = "/pub"
PUBLISHING = frozenset({"/pub", "/demo/pub", "/broadcast"})  # whose refusals are counted with those of messages
FILES = "/static/"  # what pages load: for everybody, as the demo is, whatever this server is called there


def refuse_foreign(
    rules: Rules,
    refused: Counter[int],
    published: Callable[[int], None],
    *,
    is_guarded: Callable[[str], bool],
    demo: bool,
) -> Middleware:
    """Return a middleware for all routes; where a path is guarded by keys, a name says nothing more than the key."""

    def count(request: web.Request, status: int) -> None:
        refused[status] += 1
        if request.path in PUBLISHING:
            published(status)

    def needs_own_name(request: web.Request) -> bool:
        path = request.path
        return not (is_guarded(path) or is_of_the_demo(path) or path.startswith(FILES))

    def orders(request: web.Request) -> bool:
        return changes_something(request) and (demo or not is_of_the_demo(request.path))

    return guard(rules, count, orders=orders, needs_own_name=needs_own_name)


def changes_something(request: web.Request) -> bool:
    """Say whether a request is an order: the short form publishes by GET."""
    return is_order(request) or request.path == ORDER_BY_GET
