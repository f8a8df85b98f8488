"""Who may give orders on an internal port: who has one of COMET_ADMIN_KEYS; without these, who is on this machine."""

from collections import Counter

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from common.access.keys import KeyRing
from common.browsers.guard import Rules, guard, is_order
from common.errors import RequestError
from common.service.addresses import is_loopback

ELSEWHERE = (
    "orders to this port are taken from this machine only (from 127.0.0.1 or ::1); set COMET_ADMIN_KEYS to give them "
    "from others, with a key"
)


def internal_checks(rules: Rules, refused: Counter[int], keys: KeyRing) -> list[Middleware]:
    """Return what sees each request to an internal port first; where orders need a key, their `Host` says no more.

    `refused` counts what the rules refuse, by status.
    """

    def count(request: web.Request, status: int) -> None:
        refused[status] += 1

    return [guard(rules, count, needs_own_name=lambda request: not keys and is_order(request)), require_operator(keys)]


def require_operator(keys: KeyRing) -> Middleware:
    """Return a middleware that answers 401 or 403 to orders of others; reading is free: health, readiness, metrics."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if is_order(request):
            _check_order(request, keys)
        return await handler(request)

    return check


def _check_order(request: web.Request, keys: KeyRing) -> None:
    if keys:
        keys.open(request.headers.get("Authorization", "")).check_method(request.method)
    elif not is_loopback(request.remote or ""):
        raise RequestError(ELSEWHERE, 403)
