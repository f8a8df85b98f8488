"""What a token grants, and why one is refused. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from common.access.patterns import Patterns
from common.errors import RequestError


class TokenReason(StrEnum):
    """Why a token is refused: the label of the counter, and a field of the log line."""

    MISSING = "missing"
    MALFORMED = "malformed"
    ALGORITHM = "algorithm"
    SIGNATURE = "signature"
    EXPIRED = "expired"
    NOT_YET = "not_yet"
    CLAIM = "claim"
    CHANNEL = "channel"
    USER = "user"  # a fresh token of another user


FORBIDDEN = (TokenReason.CHANNEL, TokenReason.USER)  # the token is good, and does not allow this


class TokenError(RequestError):
    """A subscriber that is not let in: 401 for its token, 403 for a channel that the token does not name."""

    def __init__(self, reason: TokenReason, sentence: str) -> None:
        super().__init__(sentence, 403 if reason in FORBIDDEN else 401)
        self.reason = reason


@dataclass(frozen=True, slots=True, eq=False)
class Grant:
    """What one token grants; all who present it share the object. `expires` is in seconds since 1970, with leeway."""

    user: str  # claim `sub`; empty if it has none
    channels: Patterns
    expires: float  # infinite for a token without `exp`
    token_id: str = ""  # claim `jti`
    info: Mapping[str, object] = field(default_factory=dict)  # claim `info`
