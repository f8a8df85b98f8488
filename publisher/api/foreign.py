"""What the publisher's routes refuse to browsers: orders of foreign pages, and requests under another's name."""

from collections import Counter
from collections.abc import Callable

from aiohttp import web
from aiohttp.typedefs import Middleware

from common.browsers.guard import Rules, guard, is_order

ORDER_BY_GET = "/pub"
PUBLISHING = frozenset({"/pub", "/demo/pub", "/broadcast"})  # whose refusals are counted with those of messages
OF_THE_DEMO = frozenset({"/", "/chat"})  # pages for everybody, whatever the name of this server is there,
FOLDERS_OF_THE_DEMO = ("/demo/", "/static/")  # and what they load


def refuse_foreign(
    rules: Rules, refused: Counter[int], published: Callable[[int], None], *, needs_key: bool
) -> Middleware:
    """Return a middleware for all routes; where a key is needed, a name says nothing more than the key."""

    def count(request: web.Request, status: int) -> None:
        refused[status] += 1
        if request.path in PUBLISHING:
            published(status)

    def needs_own_name(request: web.Request) -> bool:
        return not needs_key and not _is_of_the_demo(request.path)

    return guard(rules, count, orders=changes_something, needs_own_name=needs_own_name)


def changes_something(request: web.Request) -> bool:
    """Say whether a request is an order: the short form publishes by GET."""
    return is_order(request) or request.path == ORDER_BY_GET


def _is_of_the_demo(path: str) -> bool:
    return path in OF_THE_DEMO or path.startswith(FOLDERS_OF_THE_DEMO)
