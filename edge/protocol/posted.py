"""Posted changes: which session the channels of a POST are for, and its operations. Pure.

Proxies write paths into their logs, and a session is a secret: so it may stand in a header or in the body instead.
"""

from common.errors import BadRequestError
from edge.protocol.http import CHANGE_PATH, SESSION_HEADER, Request
from edge.protocol.operations import list_operations, load_json

BODY_EXAMPLE = '{"session":"SESSION","ops":[{"op":"sub","id":"room"}]}'
WAYS = f"the header Comet-Session, a body like {BODY_EXAMPLE}, or the path /sub/SESSION"


def read_change(
    request: Request, body: bytes, most_operations: int, *, needs_operations: bool = True
) -> tuple[str, list[object]]:
    """Return the session that a POST names, and its operations as JSON values; raises `BadRequestError`.

    One that brings a fresh token may have no operations, and no body.
    """
    value = load_json(body) if body or needs_operations else []
    in_body = ""
    if isinstance(value, dict) and "op" not in value and ("session" in value or "ops" in value):
        in_body, value = _unpack(value)
    in_path = request.path[len(CHANGE_PATH) :] if request.path.startswith(CHANGE_PATH) else ""
    session = _only(in_path, request.headers.get(SESSION_HEADER, ""), in_body)
    if value == [] and not needs_operations:
        return session, []
    return session, list_operations(value, most_operations)


def _unpack(value: dict[str, object]) -> tuple[str, object]:
    """Return the session and the operations of a body that has both."""
    session = value.get("session", "")
    if not isinstance(session, str):
        raise BadRequestError(f"session: the session of your welcome is a string, as in {BODY_EXAMPLE}")
    if "ops" not in value:
        raise BadRequestError(f"ops: give the operations, as in {BODY_EXAMPLE}")
    return session, value["ops"]


def _only(*given: str) -> str:
    """Return the session that is given, once or several times the same."""
    sessions = set(filter(None, given))
    if not sessions:
        raise BadRequestError(f"session: say whose channels change, by {WAYS}")
    if len(sessions) > 1:
        raise BadRequestError("session: path, Comet-Session and body name different sessions; name one, in one place")
    return sessions.pop()
