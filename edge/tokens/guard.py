"""The guard: lets in who has a token for what it asks, refuses everybody else, and says how often. Never the token."""

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Protocol

from common.access.patterns import Patterns
from common.errors import SettingsError
from common.logs import get_logger
from common.settings import Settings
from edge.counters import Counters
from edge.protocol.http import Request
from edge.protocol.origins import Origins
from edge.tokens.access import Access
from edge.tokens.credentials import Credentials
from edge.tokens.grant import Grant, TokenError, TokenReason
from edge.tokens.verifier import Keys, Verifier

if TYPE_CHECKING:  # it brings PyJWT
    from edge.tokens.fetched import FetchedKeys
    from edge.tokens.source import FixedKeys

EXPIRED = "token: its time is over (claim exp); connect again with a new one"
OTHER_USER = "token: claim sub: this connection is another user's; open a new one with this token"

LOG_PERIOD = 1.0  # seconds between two lines about refused tokens
#: Whose sentences repeat what the client wrote: a channel, where a token may have slipped in, or a claim.
REPEATING = frozenset({TokenReason.MISSING, TokenReason.CHANNEL, TokenReason.CLAIM})


class Verifies(Protocol):
    """Reads tokens."""

    def verify(self, token: str) -> Grant:
        """Return what a token grants; raises `TokenError`, or `UnavailableError` while no key is known."""


class Allows(Protocol):
    """Knows which channels need a token."""

    def check(self, channels: Iterable[str], grant: Grant | None) -> None:
        """Raise `TokenError` unless these channels may be heard with a grant, or without one."""


class Refusals:
    """Counts each refused token by its reason, and logs one a second; `clock` is in seconds."""

    def __init__(self, counters: Counters, clock: Callable[[], float]) -> None:
        self._counters = counters
        self._clock = clock
        self._log = get_logger()
        self._next = 0.0  # when a line may be logged again
        self._left_out = 0

    def add(self, error: TokenError) -> None:
        """Count a refusal, and log it unless another one was logged in this second."""
        self._counters.token_refused_total[error.reason] += 1
        now = self._clock()
        if now < self._next:
            self._left_out += 1
            return
        left_out, self._left_out, self._next = self._left_out, 0, now + LOG_PERIOD
        why = {} if error.reason in REPEATING else {"why": error.sentence}
        self._log.warning("a subscriber's token was refused", reason=error.reason.value, left_out=left_out, **why)


class Guard:
    """Decides on subscribers and their channels; `now` is in seconds since 1970.

    Each method raises `TokenError` if it refuses, which is counted, or `UnavailableError` if it cannot say yet.
    """

    def __init__(
        self,
        verifier: Verifies,
        access: Allows,
        credentials: Credentials,
        refusals: Refusals,
        now: Callable[[], float],
    ) -> None:
        self.now = now
        self.token_of_change = credentials.of_change
        self._token_of = credentials.of_subscriber
        self._verify = verifier.verify
        self._check = access.check
        self._refusals = refusals

    def admit(self, request: Request, transport: str, channels: Iterable[str]) -> Grant | None:
        """Return the grant of a subscriber that may have these channels; None if it has no token and needs none."""
        try:
            token = self._token_of(request, transport)
            grant = self._verify(token) if token else None
            self._check(channels, grant)
        except TokenError as error:
            self._refusals.add(error)
            raise
        return grant

    def check(self, channel: str, grant: Grant | None) -> None:
        """Let a held subscriber have one more channel, by the grant that it has."""
        try:
            if grant is not None and grant.expires <= self.now():
                raise TokenError(TokenReason.EXPIRED, EXPIRED)
            self._check((channel,), grant)
        except TokenError as error:
            self._refusals.add(error)
            raise

    def renew(self, token: str, channels: Iterable[str], before: Grant | None) -> Grant:
        """Return the grant of a fresh token: it is the same user's, and names all channels that a subscriber has."""
        try:
            grant = self._verify(token)
            if before is not None and before.user != grant.user:
                raise TokenError(TokenReason.USER, OTHER_USER)
            self._check(channels, grant)
        except TokenError as error:
            self._refusals.add(error)
            raise
        return grant


def load_keys(settings: Settings) -> "FixedKeys | FetchedKeys | None":
    """Return the keys that tokens are checked with; raises `SettingsError`. None: no channel needs a token."""
    if not settings.token_key:
        _check_is_unguarded(settings)
        return None
    from edge.tokens.source import keys_of  # noqa: PLC0415  # only an edge with tokens pays for PyJWT

    return keys_of(settings.token_key)


def _check_is_unguarded(settings: Settings) -> None:
    """Raise `SettingsError` where settings expect tokens that nothing is there to check: all channels would be open."""
    for name in ("public_channels", "private_channels", "token_cookie", "token_audience", "token_issuer"):
        if getattr(settings, name):
            raise SettingsError(
                f"COMET_{name.upper()} is set and COMET_TOKEN_KEY is not, so every channel would be open to everybody; "
                "set the key, or leave both out"
            )


def guard_of(settings: Settings, keys: Keys, counters: Counters, clock: Callable[[], float]) -> Guard:
    """Return the guard that the settings of a process ask for."""
    verifier = Verifier(
        keys,
        audience=settings.token_audience,
        issuer=settings.token_issuer,
        leeway=settings.token_leeway,
        requires_expiry=settings.token_expiry,
    )
    access = Access(Patterns(settings.public_channels), settings.private_channels)
    credentials = Credentials(Origins(settings.allowed_origins), settings.token_cookie)
    return Guard(verifier, access, credentials, Refusals(counters, clock), time.time)
