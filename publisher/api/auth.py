"""Authentication by a key: `COMET_PUBLISH_KEYS` says which keys open what is not public."""

import hmac
from collections.abc import Sequence

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from common.errors import UnauthorizedError

#: What needs no key: pages without data of their own, and what the demo pages use. Where the demo is off, it is a 404.
OPEN_PATHS = frozenset({"/", "/chat", "/admin"})
OPEN_FOLDERS = ("/static/", "/demo/")
SCHEME = "bearer"
MISSING = "a key is needed; send Authorization: Bearer KEY with one of COMET_PUBLISH_KEYS"
WRONG = "this key is not one of COMET_PUBLISH_KEYS"


def require_key(keys: Sequence[str]) -> Middleware:
    """Return a middleware that answers 401 to requests without one of the keys; without keys it lets all pass."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if keys and not _is_open(request.path):
            _check(request.headers.get("Authorization", ""), keys)
        return await handler(request)

    return check


def _is_open(path: str) -> bool:
    return path in OPEN_PATHS or path.startswith(OPEN_FOLDERS)


def _check(authorization: str, keys: Sequence[str]) -> None:
    """Raise `UnauthorizedError` unless an Authorization header carries one of the keys (RFC 6750 section 2.1)."""
    scheme, _, given = authorization.partition(" ")
    if scheme.lower() != SCHEME:
        raise UnauthorizedError(MISSING)
    if not _is_one_of(given.strip().encode(errors="surrogateescape"), keys):
        raise UnauthorizedError(WRONG)


def _is_one_of(given: bytes, keys: Sequence[str]) -> bool:
    """Compare with every key, in a time that does not depend on how many characters match."""
    matches = [hmac.compare_digest(given, key.encode()) for key in keys]
    return any(matches)
