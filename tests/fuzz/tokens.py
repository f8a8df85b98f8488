"""Subscribe tokens: as a stranger sends them, and with any header and claims under a good signature.

Only the tokens of the corpus are let in as they are. What is signed may say anything: it grants what is within the
limits, or it is refused in one sentence.
"""

import hmac
import json
import math
from base64 import urlsafe_b64encode

from common.names import check_channel
from edge.tokens.access import Access
from edge.tokens.claims import MAX_CHANNELS, MAX_TEXT_BYTES, NO_CHANNELS
from edge.tokens.grant import Grant, TokenError
from edge.tokens.keys import KeySet, jwks_keys, secret_key
from edge.tokens.source import FixedKeys
from edge.tokens.verifier import Verifier
from tests.fuzz.refusals import MAX_SENTENCE, check_refusal

NOW = 1_800_000_000.0
LEEWAY = 5.0
SECRET = b"the secret of the corpus of tokens, which signs them"
CURVE = {  # of RFC 7515, appendix A.3
    "kty": "EC",
    "crv": "P-256",
    "kid": "curve",
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
}
KEYS = KeySet([secret_key(SECRET, "secret"), *jwks_keys(json.dumps(CURVE).encode(), may_hold_secrets=False)[0].keys])
ACCESS = Access(NO_CHANNELS, ["user:{sub}"])


def check(data: bytes) -> None:
    """Look at a token; at one that is signed with what stands in two lines; and at a document of keys."""
    assert _granted(data.decode("latin-1")) is None or _is_good(data)
    header, _, claims = data.partition(b"\n")
    grant = _granted(signed(header, claims))
    if grant is not None:
        _check_grant(grant)
    _check_keys(data)


def signed(header: bytes, claims: bytes) -> str:
    """Return a token whose signature is good."""
    text = b".".join([_base64url(header), _base64url(claims)])
    return b".".join([text, _base64url(hmac.digest(SECRET, text, "sha256"))]).decode()


def _base64url(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")


def _is_good(data: bytes) -> bool:
    """Say whether it is signed with the secret: nobody else has one that is let in."""
    text, _, signature = data.rpartition(b".")
    return hmac.compare_digest(_base64url(hmac.digest(SECRET, text, "sha256")), signature)


def _granted(text: str) -> Grant | None:
    """Return what a token grants, the same the second time, or None if it is refused."""
    source = FixedKeys(KEYS)
    verifier = Verifier(source, audience="", issuer="", leeway=LEEWAY, requires_expiry=True, now=lambda: NOW)
    try:
        grant = verifier.verify(text)
    except TokenError as error:
        check_refusal(error, {401})
        return None
    assert verifier.verify(text) is grant
    return grant


def _check_grant(grant: Grant) -> None:
    assert NOW < grant.expires < math.inf
    assert len(grant.user.encode()) <= MAX_TEXT_BYTES
    assert len(grant.token_id.encode()) <= MAX_TEXT_BYTES
    assert len(grant.channels) <= MAX_CHANNELS
    for text in grant.channels.texts:
        assert text == "*" or check_channel(text.removesuffix("*"))
    try:
        ACCESS.check([f"user:{grant.user}"], grant)
    except TokenError as error:
        check_refusal(error, {401, 403})


def _check_keys(document: bytes) -> None:
    try:
        keys, faults = jwks_keys(document, may_hold_secrets=True)
    except ValueError:
        return
    assert all(key.algorithms for key in keys.keys)
    assert all(len(fault) < MAX_SENTENCE for fault in faults)
