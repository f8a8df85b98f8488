"""Keys, and tokens made with them, as the application of a customer makes them."""

import json
from base64 import urlsafe_b64encode
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import get_default_algorithms

NOW = 1_800_000_000.0
SECRET = b"a secret of sixty-four bytes or more, so that HS512 is content, too"
CLAIMS = {"sub": "bob", "exp": NOW + 60, "channels": ["room", "news:*"]}


@cache
def private_key(kind: str) -> Any:
    """Return a private key of a kind, the same each time."""
    if kind.isdigit():
        return rsa.generate_private_key(65537, int(kind))
    if kind == "Ed448":
        return ed448.Ed448PrivateKey.generate()
    if kind == "Ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    curves = {"P-256": ec.SECP256R1, "P-384": ec.SECP384R1, "P-521": ec.SECP521R1, "secp256k1": ec.SECP256K1}
    return ec.generate_private_key(curves[kind]())


def pem(kind: str) -> bytes:
    """Return the public key of a kind in PEM."""
    return private_key(kind).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def jwk(kind: str, **members: object) -> dict[str, Any]:
    """Return the public key of a kind as a member of a JWKS."""
    name = "RS256" if kind.isdigit() else "EdDSA" if kind.startswith("Ed") else "ES256"
    return {**get_default_algorithms()[name].to_jwk(private_key(kind).public_key(), as_dict=True), **members}


def jwks(*entries: object) -> bytes:
    """Return a JWKS."""
    return json.dumps({"keys": entries}).encode()


def token(claims: object = CLAIMS, key: Any = SECRET, algorithm: str = "HS256", **headers: object) -> str:
    """Return a signed token."""
    return jwt.api_jws.encode(json.dumps(claims).encode(), key, algorithm, headers)


def signed(header: bytes | str, payload: bytes | str, secret: bytes = SECRET) -> str:
    """Return a token of which header and claims are any bytes, under a good signature."""
    parts = [part.encode() if isinstance(part, str) else part for part in (header, payload)]
    text = ".".join(map(base64url, parts))
    signature = get_default_algorithms()["HS256"].sign(text.encode(), secret)
    return f"{text}.{base64url(signature)}"


def base64url(data: bytes) -> str:
    """Return bytes as they stand in a token."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()
