"""Keys: who may publish and look after the edges, when `COMET_PUBLISH_KEYS` says that not everybody may."""

import hmac
from collections.abc import Sequence

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from common.errors import UnauthorizedError

#: What needs no key: pages without data of their own, and what the demo pages may do.
OPEN = frozenset({"/", "/chat", "/admin", "/demo/config.json", "/demo/pub"})
OPEN_BELOW = "/static/"
SCHEME = "bearer"
MISSING = "a key is needed; send Authorization: Bearer KEY with one of COMET_PUBLISH_KEYS"
WRONG = "this key is not one of COMET_PUBLISH_KEYS"


def guard(keys: Sequence[str]) -> Middleware:
    """Return a middleware that lets in only who has one of the keys; everybody, if there are none."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if keys and not _is_open(request.path):
            _check(request.headers.get("Authorization", ""), keys)
        return await handler(request)

    return check


def _is_open(path: str) -> bool:
    return path in OPEN or path.startswith(OPEN_BELOW)


def _check(authorization: str, keys: Sequence[str]) -> None:
    """Raise `UnauthorizedError` unless an Authorization header carries one of the keys (RFC 6750 section 2.1)."""
    scheme, _, given = authorization.partition(" ")
    if scheme.lower() != SCHEME:
        raise UnauthorizedError(MISSING)
    if not _is_one_of(given.strip().encode(errors="surrogateescape"), keys):
        raise UnauthorizedError(WRONG)


def _is_one_of(given: bytes, keys: Sequence[str]) -> bool:
    """Compare with every key, in a time that tells nothing of how much is right."""
    matches = [hmac.compare_digest(given, key.encode()) for key in keys]
    return any(matches)
