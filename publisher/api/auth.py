"""Who may do what on the publisher's port: COMET_PUBLISH_KEYS publish, COMET_ADMIN_KEYS operate.

Where there are no keys of operators, a key without channels operates, too. Where there are no keys to publish,
everybody publishes; where there are none at all, everybody operates, too. Both ask about channels.
"""

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from common.access.keys import FORBIDDEN, NOBODY, Key, KeyRing
from common.errors import RequestError
from publisher.api.demo import is_of_the_demo

OPERATOR_PAGE = "/admin"  # holds nothing itself, and asks for a key
#: What needs no key, beside the demo: a page without data of its own, and the document of all routes.
OPEN_PATHS = frozenset({OPERATOR_PAGE, "/openapi.json"})
OPEN_FOLDER = "/static/"
#: What operators do, also what this version does not have yet.
OPERATOR_PATHS = frozenset({"/close", "/broadcast", "/disconnect", "/revoke", "/connections"})
OPERATOR_FOLDER = "/admin/"
#: What those who publish may ask of their channels, and operators of all.
ASKING_PATHS = frozenset({"/info", "/check"})
CALLER = web.RequestKey("caller", Key)


def require_key(publishing: KeyRing, operating: KeyRing) -> Middleware:
    """Return a middleware that answers 401 to requests without a key that they need, and 403 if it is another's.

    There is at least one key.
    """

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        authorization = request.headers.get("Authorization", "")
        if _is_of_operators(request.path):
            request[CALLER] = _operator(authorization, request.method, publishing, operating)
        elif request.path in ASKING_PATHS:
            request[CALLER] = _asker(authorization, publishing, operating)
        elif publishing and not _is_open(request.path):
            request[CALLER] = _one_of(publishing, authorization, operating)
        return await handler(request)

    return check


def caller_of(request: web.Request) -> Key:
    """Return who sends a request, as far as that was asked."""
    caller: Key = request.get(CALLER, NOBODY)
    return caller


def is_guarded(path: str, publishing: KeyRing, operating: KeyRing) -> bool:
    """Say whether nothing of a path is for those without a key: a page that stole this server's name gets nothing."""
    if publishing:
        return True
    return bool(operating) and (_is_of_operators(path) or path in ASKING_PATHS or path == OPERATOR_PAGE)


def _is_of_operators(path: str) -> bool:
    return path in OPERATOR_PATHS or path.startswith(OPERATOR_FOLDER)


def _is_open(path: str) -> bool:
    return path in OPEN_PATHS or path.startswith(OPEN_FOLDER) or is_of_the_demo(path)


def _operator(authorization: str, method: str, publishing: KeyRing, operating: KeyRing) -> Key:
    """Return the key of a request to operate; raises `RequestError`."""
    if operating:
        key = _one_of(operating, authorization, publishing)
        key.check_method(method)
        return key
    key = publishing.open(authorization)
    key.check_scope(f"one of {publishing.setting} without channels")
    return key


def _asker(authorization: str, publishing: KeyRing, operating: KeyRing) -> Key:
    """Return the key of a request to ask, of whichever list; raises `UnauthorizedError`."""
    return operating.find(authorization) or (publishing or operating).open(authorization)


def _one_of(keys: KeyRing, authorization: str, others: KeyRing) -> Key:
    """Return the key of a request; raises `RequestError`: 403 for one that is good elsewhere, 401 for others."""
    key = keys.find(authorization)
    if key is not None:
        return key
    other = others.find(authorization)
    if other is not None:
        raise RequestError(
            f"the key {other.name!r} is of {others.setting}; this needs one of {keys.setting}", FORBIDDEN
        )
    return keys.open(authorization)
