"""The compact form of a token: three parts of base64url between dots (RFC 7515 section 7.1). Pure.

Nothing in a token is believed before its signature is checked, and each token has one spelling only: who changes a
character of it has another token, never the same in other letters.
"""

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any, NamedTuple, NoReturn

from edge.tokens.grant import TokenError, TokenReason

MAX_BYTES = 8192  # of a token
MAX_KEY_ID = 255  # characters
_FORM = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]*)", re.ASCII)
_REFUSED_HEADERS = ("crit", "b64", "zip")  # they ask for what a reader must know how to do


class Compact(NamedTuple):
    """A token in its parts; `payload` is not read yet."""

    algorithm: str  # what the token says that it is signed with: compared with a key's algorithms, never obeyed
    key_id: str  # header `kid`; empty if it has none
    signed: bytes  # what the signature is of
    payload: str
    signature: bytes


def check_size(token: str) -> None:
    """Raise TokenError for what is too long to be looked at, or is no ASCII."""
    if len(token) > MAX_BYTES:
        raise malformed(f"it has more than {MAX_BYTES} bytes; name fewer channels in it, or beginnings with a star")
    if not token.isascii():
        raise malformed("it has characters that no token has; send it as it was made")


def split_token(token: str) -> Compact:
    """Return the parts of a token; raises TokenError for what is none."""
    check_size(token)
    form = _FORM.fullmatch(token)
    if form is None:
        raise malformed("a token is three parts of base64url with dots between them; send it as it was made")
    first, second, third = form.groups()
    header = read_object(first, "header")
    for name in _REFUSED_HEADERS:
        if name in header:
            raise malformed(f"its header has {name!r}, which is not understood here; make it without")
    return Compact(
        algorithm=_text(header, "alg"),
        key_id=_text(header, "kid"),
        signed=f"{first}.{second}".encode(),
        payload=second,
        signature=_decoded(third, "signature"),
    )


def read_object(part: str, what: str) -> dict[str, Any]:
    """Return the JSON object that a part holds, in which no name may stand twice."""
    try:
        found = _DECODER.decode(_decoded(part, what).decode())
    except (ValueError, RecursionError):
        raise malformed(f"its {what} is not JSON, or has a name twice") from None
    if not isinstance(found, dict):
        raise malformed(f"its {what} is not a JSON object")
    return found


def malformed(why: str) -> TokenError:
    """Return the error for what is no token."""
    return TokenError(TokenReason.MALFORMED, f"token: {why}")


def _text(header: dict[str, Any], name: str) -> str:
    """Return a header that is a short text, or an empty one if it is missing."""
    value = header.get(name, "")
    if not isinstance(value, str) or len(value) > MAX_KEY_ID:
        raise malformed(f"{name!r} in its header must be a text of at most {MAX_KEY_ID} characters")
    return value


def _decoded(part: str, what: str) -> bytes:
    """Return the bytes of a part; those that another spelling would give, too, are refused."""
    if len(part) % 4 == 1:
        raise malformed(f"its {what} is cut off; send it as it was made")
    data = urlsafe_b64decode(part + "=" * (-len(part) % 4))
    if urlsafe_b64encode(data).rstrip(b"=") != part.encode():
        raise malformed(f"its {what} is not base64url; send it as it was made")
    return data


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON; which of two values counts is not for the reader to guess."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _no_constant(name: str) -> NoReturn:
    """Refuse NaN and Infinity, which are no JSON."""
    raise ValueError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_no_constant)
