"""Tokens without signatures, for tests of what an edge does with them: each is a name, and what it grants is given."""

from collections.abc import Callable, Iterable, Sequence

from common.access.patterns import Patterns
from common.errors import UnavailableError
from edge.counters import Counters
from edge.parked import NEVER
from edge.protocol.origins import Origins
from edge.tokens.credentials import Credentials
from edge.tokens.grant import Grant, TokenError, TokenReason
from edge.tokens.guard import Guard, Refusals

COOKIE = "comet_token"


class TokensInMemory:
    """The tokens that are good here; `public` are patterns of channels that need none."""

    def __init__(self, *public: str) -> None:
        self._public = Patterns(public)
        self.grants: dict[str, Grant] = {}
        self.has_keys = True

    def make(self, token: str, channels: Sequence[str] = ("*",), *, user: str = "bob", expires: float = NEVER) -> Grant:
        """Let a token be good."""
        grant = self.grants[token] = Grant(user, Patterns(channels), expires)
        return grant

    def verify(self, token: str) -> Grant:
        """Return what a token grants."""
        if not self.has_keys:
            raise UnavailableError("token: no keys yet")
        if token not in self.grants:
            raise TokenError(TokenReason.SIGNATURE, "token: wrong")
        return self.grants[token]

    def check(self, channels: Iterable[str], grant: Grant | None) -> None:
        """Raise TokenError for the first channel that is not for all, and that no token names."""
        for channel in channels:
            if self._public.matches(channel):
                continue
            if grant is None:
                raise TokenError(TokenReason.MISSING, f"id: {channel} needs a token")
            if not grant.channels.matches(channel):
                raise TokenError(TokenReason.CHANNEL, f"id: {channel} is not named by the token")

    def guard(self, counters: Counters, clock: Callable[[], float], allowed_origins: tuple[str, ...] = ()) -> Guard:
        """Return the guard that lets in who has one of them."""
        credentials = Credentials(Origins(allowed_origins), COOKIE if allowed_origins else "")
        return Guard(self, self, credentials, Refusals(counters, clock), clock)
