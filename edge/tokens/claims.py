"""What the claims of a token whose signature is right must be, and the grant that they make. Pure."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import orjson

from common.access.patterns import Patterns
from edge.tokens.grant import Grant, TokenError, TokenReason

MAX_CHANNELS = 1000
MAX_TEXT_BYTES = 255  # of `sub` and `jti`
MAX_INFO_BYTES = 1024  # of `info` as JSON
LAST_SECOND = 253_402_300_799  # of the year 9999; an `exp` in milliseconds lies behind it
NO_INFO: Mapping[str, object] = MappingProxyType({})  # shared: most tokens have none
NO_CHANNELS = Patterns()

Claims = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ClaimRules:
    """What this deployment asks of every token; an empty `audience` or `issuer` asks for nothing."""

    audience: str
    issuer: str
    leeway: float  # seconds
    requires_expiry: bool

    def grant_of(self, claims: Claims, now: float) -> Grant:
        """Return what claims grant at a time; raises TokenError if that is nothing."""
        expires = self._expiry(claims)
        check_expiry(expires, now)
        self._check_start(claims, now)
        self._check_names(claims)
        return Grant(
            user=_text(claims, "sub"),
            channels=_channels(claims),
            expires=expires,
            token_id=_text(claims, "jti"),
            info=_info(claims),
        )

    def _expiry(self, claims: Claims) -> float:
        """Return the time from which on a token is not taken any more."""
        expires = _time(claims, "exp")
        if expires is not None:
            return expires + self.leeway
        if self.requires_expiry:
            raise _wrong("exp", "a token must say until when it is good, in seconds since 1970")
        return math.inf

    def _check_start(self, claims: Claims, now: float) -> None:
        start = _time(claims, "nbf")
        if start is not None and now < start - self.leeway:
            raise TokenError(
                TokenReason.NOT_YET,
                "token: it is not good yet (claim nbf); compare the clocks of its maker and of this server",
            )

    def _check_names(self, claims: Claims) -> None:
        """Refuse a token of another maker, or for another service."""
        if self.issuer and claims.get("iss") != self.issuer:
            raise _wrong("iss", "it is not what COMET_TOKEN_ISSUER says")
        audience = claims.get("aud")
        if self.audience and self.audience not in (audience if isinstance(audience, list) else [audience]):
            raise _wrong("aud", "what COMET_TOKEN_AUDIENCE says is not in it")


def check_expiry(expires: float, now: float) -> None:
    """Raise TokenError for a token whose time, with leeway, is over."""
    if now >= expires:
        raise TokenError(TokenReason.EXPIRED, "token: its time is over (claim exp); get a new one")


def _time(claims: Claims, name: str) -> float | None:
    """Return a time in seconds since 1970, or None if a token does not name it."""
    if name not in claims:
        return None
    value = claims[name]
    # What is no number of a year until 9999 is infinite, NaN, in milliseconds, or an integer too large for a float.
    if type(value) not in {int, float} or not -LAST_SECOND <= value <= LAST_SECOND:
        raise _wrong(name, "it must be a number of seconds since 1970, without quotes")
    return float(value)


def _text(claims: Claims, name: str) -> str:
    """Return a short text, or an empty one if a token does not have it."""
    value = claims.get(name, "")
    if not isinstance(value, str) or _size(value) > MAX_TEXT_BYTES:
        raise _wrong(name, f"it must be a text of at most {MAX_TEXT_BYTES} bytes, in quotes")
    return value


def _size(text: str) -> float:
    """Return the bytes of a text; infinitely many if it cannot be sent."""
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        return math.inf


def _channels(claims: Claims) -> Patterns:
    """Return the channels that a token names."""
    texts = claims.get("channels", [])
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise _wrong("channels", 'it must be a list of names, or beginnings with a star, as in ["room", "news:*"]')
    if len(texts) > MAX_CHANNELS:
        raise _wrong("channels", f"it has {len(texts)} entries; at most {MAX_CHANNELS} are allowed")
    try:
        return Patterns(texts) if texts else NO_CHANNELS
    except ValueError as error:
        raise _wrong("channels", str(error)) from None


def _info(claims: Claims) -> Mapping[str, object]:
    """Return what a token tells of its user to others."""
    if "info" not in claims:
        return NO_INFO
    info = claims["info"]
    try:
        fits = isinstance(info, dict) and len(orjson.dumps(info)) <= MAX_INFO_BYTES
    except TypeError:  # a number, text or depth that cannot be sent
        fits = False
    if not fits:
        raise _wrong("info", f"it must be an object of at most {MAX_INFO_BYTES} bytes as JSON")
    return MappingProxyType(info)


def _wrong(claim: str, why: str) -> TokenError:
    return TokenError(TokenReason.CLAIM, f"token: claim {claim}: {why}")
