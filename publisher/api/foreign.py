"""What the publisher's routes refuse to browsers: orders of foreign pages, and requests under another's name."""

from collections import Counter
from collections.abc import Callable

from aiohttp import web
from aiohttp.typedefs import Middleware

from common.browsers.guard import Rules, guard, is_order

ORDER_BY_GET = "/pub"
PUBLISHING = frozenset({"/pub", "/demo/pub", "/broadcast"})  # whose refusals are counted with those of messages
DEMO_PATHS = frozenset({"/", "/chat", "/demo"})  # with the folder, for everybody, whatever this server is called there;
DEMO_FOLDER = "/demo/"  # where the demo is off, all of it is 404
FILES = "/static/"  # what pages load


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
        return not (is_guarded(path) or _is_of_the_demo(path) or path.startswith(FILES))

    def orders(request: web.Request) -> bool:
        return changes_something(request) and (demo or not _is_of_the_demo(request.path))

    return guard(rules, count, orders=orders, needs_own_name=needs_own_name)


def changes_something(request: web.Request) -> bool:
    """Say whether a request is an order: the short form publishes by GET."""
    return is_order(request) or request.path == ORDER_BY_GET


def _is_of_the_demo(path: str) -> bool:
    return path in DEMO_PATHS or path.startswith(DEMO_FOLDER)
