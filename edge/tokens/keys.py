"""The keys that tokens are checked with, and how they are read from secrets, PEM and JWKS. Pure.

Each key has its own algorithms, by its kind: what a token says of its algorithm is compared with them and never
chooses, so that nobody can sign with a public key as if it were a secret.

This module brings PyJWT and cryptography, 9 MB: it is imported only where tokens are checked.
"""

import json
import re
from base64 import b64decode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt import PyJWTError
from jwt.algorithms import Algorithm, get_default_algorithms

from common.settings_values import MIN_SECRET_BYTES, SHORT_SECRET
from edge.tokens.algorithms import CURVES, EDWARDS, HMAC, RSA

MAX_KEYS = 100  # of a JWKS
_RSA_BITS = range(2048, 8193)
_KINDS = {"oct": "HS256", "RSA": "RS256", "EC": "ES256", "OKP": "EdDSA"}  # of a JWK: an algorithm that reads it
_DER = re.compile(  # a sequence that begins with a number or a sequence
    rb"\x30(?:(?P<short>[\x00-\x7f])|\x81(?P<long>.)|\x82(?P<longer>..))(?P<content>[\x02\x30])", re.DOTALL
)
_IMPLEMENTED = get_default_algorithms()


@dataclass(frozen=True, slots=True, eq=False)
class Key:
    """A key and the algorithms that it may be used with."""

    material: Any  # never shown: it may be a secret
    algorithms: Mapping[str, Algorithm]
    key_id: str = ""  # its `kid` in a JWKS

    def __repr__(self) -> str:
        return f"Key({self.key_id!r}, {'/'.join(self.algorithms)})"

    def verifies(self, algorithm: str, signed: bytes, signature: bytes) -> bool:
        """Say whether a signature is of this key, by one of its algorithms."""
        return bool(self.algorithms[algorithm].verify(signed, self.material, signature))


class KeySet:
    """The keys that are good now; a set never changes."""

    def __init__(self, keys: Iterable[Key]) -> None:
        self.keys = tuple(keys)
        ids = {key.key_id for key in self.keys}
        self._named = {key_id: [key for key in self.keys if key.key_id == key_id] for key_id in ids}

    def of(self, key_id: str) -> Sequence[Key]:
        """Return the keys that a token may be signed with: those of its `kid`, or those without; all if it has none."""
        if not key_id:
            return self.keys
        return self._named.get(key_id, self._named.get("", ()))


def secret_key(secret: bytes, key_id: str = "") -> Key:
    """Return the key of a shared secret; raises ValueError for one that is short, or that everybody may know."""
    if len(secret) < MIN_SECRET_BYTES:
        raise ValueError(SHORT_SECRET)
    if _is_public(secret):
        raise ValueError(
            "this is a key of another kind, or a certificate, and no secret; give a public key in PEM, by file:PATH"
        )
    return Key(secret, _implementations(HMAC), key_id)


def pem_key(text: bytes) -> Key:
    """Return the key of a public key in PEM; raises ValueError with a sentence for anything else."""
    if text.count(b"-----BEGIN") > 1:
        raise ValueError("there are several keys in it; put them into a JWKS")
    if b"PRIVATE KEY-----" in text:
        raise ValueError("this is a private key, which only the maker of tokens may have; give the public one")
    if b"-----BEGIN CERT" in text:
        raise ValueError("this is a certificate; `openssl x509 -pubkey -noout` makes a public key of it")
    try:
        material = load_pem_public_key(text.strip())
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("this is not a public key in PEM") from None
    return Key(material, _implementations(_algorithms_of(material)))


def jwks_keys(text: bytes, may_hold_secrets: bool) -> tuple[KeySet, list[str]]:
    """Return the keys of a JWKS, or of a single JWK, and why others in it cannot be used (RFC 7517 section 5).

    Raises ValueError for what is no JWKS.
    """
    keys, faults = [], []
    for entry in _entries(text):
        try:
            keys.append(_jwk(entry, may_hold_secrets))
        except ValueError as error:
            faults.append(str(error))
    return KeySet(keys), faults


def _entries(text: bytes) -> list[Any]:
    """Return the keys that a document lists, not read yet."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("this is not JSON, and so not a JWKS") from None
    entries = document.get("keys", [document]) if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise ValueError('this is not a JWKS: an object with a list, as in {"keys": [...]}')  # noqa: TRY004
    if len(entries) > MAX_KEYS:
        raise ValueError(f"there are {len(entries)} keys in the JWKS; at most {MAX_KEYS} are allowed")
    return entries


def _jwk(entry: Any, may_hold_secrets: bool) -> Key:
    """Return one key of a JWKS; raises ValueError with a sentence, without anything of the key, if it is of no use."""
    if not isinstance(entry, dict) or entry.get("kty") not in tuple(_KINDS):  # it may be a list, which a dict refuses
        raise ValueError("a key of the JWKS is of a kind that is not known here")
    purposes = entry.get("key_ops", ["verify"])
    if entry.get("use", "sig") != "sig" or not isinstance(purposes, list) or "verify" not in purposes:
        raise ValueError("a key of the JWKS is not for signatures")
    key_id = entry.get("kid", "")
    if not isinstance(key_id, str):
        raise ValueError("the kid of a key of the JWKS is no text")  # noqa: TRY004
    if entry["kty"] == "oct" and not may_hold_secrets:
        raise ValueError("a secret is no secret where everybody can fetch it")
    if entry["kty"] != "oct" and "d" in entry:
        raise ValueError("a key of the JWKS is a private one, which only the maker of tokens may have")
    return _narrowed(_read_jwk(entry, key_id), entry.get("alg"))


def _read_jwk(entry: Mapping[str, Any], key_id: str) -> Key:
    try:
        material = _IMPLEMENTED[_KINDS[entry["kty"]]].from_jwk(dict(entry))
    except (PyJWTError, ValueError, TypeError, AttributeError, KeyError, UnsupportedAlgorithm):
        raise ValueError("a key of the JWKS cannot be read") from None
    if isinstance(material, bytes):
        return secret_key(material, key_id)
    return Key(material, _implementations(_algorithms_of(material)), key_id)


def _narrowed(key: Key, algorithm: object) -> Key:
    """Return a key for the one algorithm that a JWKS names with it."""
    if algorithm is None:
        return key
    if algorithm not in tuple(key.algorithms):
        raise ValueError("a key of the JWKS names an algorithm that is not of its kind, or not known here")
    return Key(key.material, {name: each for name, each in key.algorithms.items() if name == algorithm}, key.key_id)


def _algorithms_of(material: object) -> Sequence[str]:
    """Return the algorithms of a public key by its kind; raises ValueError for a kind that is not taken."""
    if isinstance(material, RSAPublicKey):
        if material.key_size in _RSA_BITS:
            return RSA
        raise ValueError(f"an RSA key has {_RSA_BITS[0]} to {_RSA_BITS[-1]} bits, this one has {material.key_size}")
    if isinstance(material, EllipticCurvePublicKey) and material.curve.name in CURVES:
        return (CURVES[material.curve.name],)
    if isinstance(material, Ed25519PublicKey | Ed448PublicKey):
        return EDWARDS
    raise ValueError("a public key is RSA, of the curve P-256, P-384 or P-521, Ed25519 or Ed448")


def _implementations(names: Iterable[str]) -> Mapping[str, Algorithm]:
    return {name: _IMPLEMENTED[name] for name in names}


def _is_public(secret: bytes) -> bool:
    """Say whether what is given as a secret is a key or certificate: in PEM, of SSH, in DER, or that in base64."""
    if b"-----BEGIN" in secret or secret.lstrip().startswith((b"ssh-", b"ecdsa-sha2-", b"sk-ssh-", b"sk-ecdsa-")):
        return True
    return _is_der(secret) or _is_der(_from_base64(secret))


def _from_base64(text: bytes) -> bytes:
    try:
        return b64decode(text)
    except ValueError:
        return b""


def _is_der(data: bytes) -> bool:
    """Say whether it is one sequence from beginning to end, as keys and certificates are; by chance once in 2**23."""
    head = _DER.match(data)
    if head is None:
        return False
    return len(data) == head.start("content") + int.from_bytes(head["short"] or head["long"] or head["longer"], "big")
