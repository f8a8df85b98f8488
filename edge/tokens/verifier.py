"""Checking tokens: the signature by the keys that are good now, then the claims. A token seen before is remembered."""

import time
from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b
from typing import TYPE_CHECKING, Protocol

from edge.tokens.algorithms import ALGORITHMS
from edge.tokens.claims import ClaimRules, check_expiry
from edge.tokens.compact import Compact, check_size, read_object, split_token
from edge.tokens.grant import Grant, TokenError, TokenReason

if TYPE_CHECKING:  # it brings PyJWT, which only an edge with tokens pays for
    from edge.tokens.keys import Key, KeySet

MOST_CACHED = 4096
MOST_PATTERNS = 65_536  # of all remembered grants together: one may have a thousand
MAX_TRIED = 5  # keys for a token that does not say which


class Keys(Protocol):
    """Where keys come from."""

    def current(self) -> "KeySet":
        """Return the keys that are good now; another object when they have changed.

        Raises `UnavailableError` if there are none yet.
        """

    def look_again(self) -> None:
        """Say that a token named a key that is not among them."""


class Verifier:
    """Turns tokens into grants. What is remembered are digests: no token stays in memory."""

    def __init__(
        self,
        keys: Keys,
        *,
        audience: str,
        issuer: str,
        leeway: float,
        requires_expiry: bool,
        now: Callable[[], float] = time.time,
        most_cached: int = MOST_CACHED,
    ) -> None:
        self._source = keys
        self._rules = ClaimRules(audience, issuer, leeway, requires_expiry)
        self._now = now
        self._most_cached = most_cached
        self._grants: OrderedDict[bytes, Grant] = OrderedDict()  # by digest; the one not used for longest comes first
        self._patterns = 0  # of the channels of all these
        self._keys: KeySet | None = None  # those that the grants were made with

    def verify(self, token: str) -> Grant:
        """Return what a token grants now; raises `TokenError`, or `UnavailableError` while there are no keys."""
        check_size(token)
        keys = self._source.current()
        if keys is not self._keys:
            self._forget_all(keys)
        digest = blake2b(token.encode(), digest_size=32).digest()
        grant = self._grants.get(digest)
        if grant is None:
            return self._remember(digest, self._read(split_token(token), keys))
        self._grants.move_to_end(digest)
        check_expiry(grant.expires, self._now())
        return grant

    def _remember(self, digest: bytes, grant: Grant) -> Grant:
        self._grants[digest] = grant
        self._patterns += len(grant.channels)
        while len(self._grants) > self._most_cached or self._patterns > MOST_PATTERNS:
            _, oldest = self._grants.popitem(last=False)
            self._patterns -= len(oldest.channels)
        return grant

    def _forget_all(self, keys: "KeySet") -> None:
        """Check each token anew, with other keys."""
        self._grants.clear()
        self._patterns = 0
        self._keys = keys

    def _read(self, token: Compact, keys: "KeySet") -> Grant:
        """Return what a token grants that was not seen before."""
        for key in self._candidates(token, keys):
            if key.verifies(token.algorithm, token.signed, token.signature):
                return self._rules.grant_of(read_object(token.payload, "payload"), self._now())
        raise TokenError(
            TokenReason.SIGNATURE, "token: its signature is wrong; COMET_TOKEN_KEY must be the key of its maker"
        )

    def _candidates(self, token: Compact, keys: "KeySet") -> list["Key"]:
        """Return the keys that a token may be signed with; raises TokenError if there is none."""
        named = keys.of(token.key_id)
        fitting = [key for key in named if token.algorithm in key.algorithms]
        if fitting:
            return fitting[:MAX_TRIED]
        if named or token.algorithm not in ALGORITHMS:
            raise TokenError(
                TokenReason.ALGORITHM,
                f"token: alg {token.algorithm[:20]!r} does not go with the key in COMET_TOKEN_KEY; sign it by another",
            )
        self._source.look_again()
        raise TokenError(TokenReason.SIGNATURE, "token: no key of COMET_TOKEN_KEY has the kid in its header")
