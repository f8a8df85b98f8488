"""Keys of each kind, and what is none."""

from base64 import b64encode
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from edge.tokens.keys import KeySet, jwks_keys, pem_key, secret_key
from tests.edge.tokens.making import SECRET, base64url, jwk, jwks, pem, private_key

RSA = ["PS256", "PS384", "PS512", "RS256", "RS384", "RS512"]
OCT = {"kty": "oct", "k": base64url(SECRET)}


def refused(kind: str, *given: Any) -> str:
    """Return why a key cannot be used."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # the sentence is what is looked at
        {"secret": secret_key, "pem": pem_key, "jwks": jwks_keys}[kind](*given)
    return str(caught.value)


def left_out(*entries: object) -> list[str]:
    """Return why keys of a fetched JWKS are left out; none is taken."""
    keys, faults = jwks_keys(jwks(*entries), may_hold_secrets=False)
    assert keys.keys == ()
    return faults


def public(kind: str, encoding: Encoding, form: PublicFormat) -> bytes:
    """Return a public key in one of its forms."""
    found: bytes = private_key(kind).public_key().public_bytes(encoding, form)
    return found


def test_a_secret_has_the_algorithms_of_secrets() -> None:
    """Of 32 bytes or more."""
    assert list(secret_key(b"x" * 32).algorithms) == ["HS256", "HS384", "HS512"]
    assert "at least 32 bytes" in refused("secret", b"x" * 31)
    assert "secret" not in repr(secret_key(SECRET))


@pytest.mark.parametrize(
    "text",
    [
        pem("2048"),
        pem("P-256"),
        b"\n" + pem("Ed25519"),
        public("2048", Encoding.PEM, PublicFormat.PKCS1),
        public("2048", Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        public("2048", Encoding.DER, PublicFormat.PKCS1),
        b64encode(public("2048", Encoding.DER, PublicFormat.PKCS1)),
        b64encode(public("Ed25519", Encoding.DER, PublicFormat.SubjectPublicKeyInfo)),
        b64encode(b"\x30\x81\x90\x30" + b"x" * 143),
        b64encode(public("2048", Encoding.DER, PublicFormat.SubjectPublicKeyInfo)),
        b64encode(public("P-256", Encoding.DER, PublicFormat.SubjectPublicKeyInfo)),
        public("2048", Encoding.OpenSSH, PublicFormat.OpenSSH),
        public("P-256", Encoding.OpenSSH, PublicFormat.OpenSSH),
        public("Ed25519", Encoding.OpenSSH, PublicFormat.OpenSSH),
    ],
)
def test_a_public_key_is_never_a_secret(text: bytes) -> None:
    """In whatever form it is given."""
    assert "this is a key of another kind, or a certificate, and no secret" in refused("secret", text)


@pytest.mark.parametrize(
    "secret", [b"\x30" * 32, b"\x30\x1e\x30" + b"x" * 30, b"MII" + b"x" * 40, b"\x30\x82" + b"0" * 40]
)
def test_what_only_resembles_one_is(secret: bytes) -> None:
    """Random bytes begin so now and then."""
    assert secret_key(secret).material == secret


@pytest.mark.parametrize(
    ("kind", "algorithms"),
    [
        ("2048", RSA),
        ("P-256", ["ES256"]),
        ("P-384", ["ES384"]),
        ("P-521", ["ES512"]),
        ("Ed25519", ["EdDSA"]),
        ("Ed448", ["EdDSA"]),
    ],
)
def test_a_public_key_has_the_algorithms_of_its_kind(kind: str, algorithms: list[str]) -> None:
    """In PEM and in a JWKS."""
    assert sorted(pem_key(pem(kind)).algorithms) == algorithms
    (key,) = jwks_keys(jwks(jwk(kind, kid="one")), may_hold_secrets=False)[0].keys
    assert (sorted(key.algorithms), key.key_id) == (algorithms, "one")


def test_what_is_no_public_key_in_pem_is_told_in_words() -> None:
    """Each with what to do."""
    private = private_key("P-256").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    assert "this is a private key" in refused("pem", private)
    assert "there are several keys in it" in refused("pem", pem("P-256") * 2)
    assert "this is a certificate" in refused("pem", b"-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----")
    assert refused("pem", pem("P-256")[:60]) == "this is not a public key in PEM"
    assert refused("pem", pem("1024")) == "an RSA key has 2048 to 8192 bits, this one has 1024"
    assert "a public key is RSA, of the curve P-256" in refused("pem", pem("secp256k1"))


def test_a_jwks_names_its_keys() -> None:
    """A token with a `kid` is checked by that key; one without by all; keys without a `kid` may be anybody's."""
    named = [jwk("P-256", kid="a"), jwk("P-384", kid="b"), jwk("Ed25519", kid="b")]
    keys, faults = jwks_keys(jwks(*named), may_hold_secrets=False)
    assert (len(keys.of("a")), len(keys.of("b")), len(keys.of("c")), len(keys.of("")), faults) == (1, 2, 0, 3, [])
    keys, _ = jwks_keys(jwks(*named, jwk("2048")), may_hold_secrets=False)
    assert [sorted(key.algorithms) for key in keys.of("c")] == [RSA]
    only = KeySet([secret_key(SECRET)])
    assert list(only.of("../../etc/passwd")) == list(only.of("")) == list(only.keys)


def test_a_single_key_is_taken_for_a_jwks() -> None:
    """As some tools write it."""
    keys, _ = jwks_keys(jwks(jwk("P-256"))[10:-2], may_hold_secrets=False)
    assert [list(key.algorithms) for key in keys.keys] == [["ES256"]]


def test_a_jwks_may_name_the_algorithm_of_a_key() -> None:
    """Then it has no other."""
    (key,) = jwks_keys(jwks(jwk("2048", alg="PS256", use="sig", key_ops=["verify"])), may_hold_secrets=False)[0].keys
    assert list(key.algorithms) == ["PS256"]
    told = ["a key of the JWKS names an algorithm that is not of its kind, or not known here"]
    for algorithm in ("HS256", "ES256", "none", "", 1, ["RS256"]):
        assert left_out(jwk("2048", alg=algorithm)) == told


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        (1, "a key of the JWKS is of a kind that is not known here"),
        ({}, "a key of the JWKS is of a kind that is not known here"),
        ({"kty": ["RSA"]}, "a key of the JWKS is of a kind that is not known here"),
        (jwk("2048", use="enc"), "a key of the JWKS is not for signatures"),
        (jwk("2048", key_ops=["encrypt"]), "a key of the JWKS is not for signatures"),
        (jwk("2048", key_ops=7), "a key of the JWKS is not for signatures"),
        (jwk("2048", kid=7), "the kid of a key of the JWKS is no text"),
        (jwk("2048", d="AQAB"), "a key of the JWKS is a private one, which only the maker of tokens may have"),
        (OCT, "a secret is no secret where everybody can fetch it"),
        ({"kty": "RSA"}, "a key of the JWKS cannot be read"),
        (jwk("2048", n=7), "a key of the JWKS cannot be read"),
        (jwk("P-256", x="AAAA"), "a key of the JWKS cannot be read"),
        (jwk("P-256", crv="P-999"), "a key of the JWKS cannot be read"),
        (jwk("P-256", y=jwk("P-256")["x"]), "a key of the JWKS cannot be read"),
        (jwk("Ed25519", x="AAAA"), "a key of the JWKS cannot be read"),
        (jwk("1024"), "an RSA key has 2048 to 8192 bits, this one has 1024"),
    ],
)
def test_a_key_of_no_use_is_left_out(entry: object, told: str) -> None:
    """The others stay good."""
    assert left_out(entry) == [told]
    assert len(jwks_keys(jwks(entry, jwk("P-256")), may_hold_secrets=False)[0].keys) == 1


def test_a_secret_of_a_jwks_is_taken_from_a_file_only() -> None:
    """One of 32 bytes or more, which is no public key."""
    (key,) = jwks_keys(jwks({**OCT, "kid": "s"}), may_hold_secrets=True)[0].keys
    assert (list(key.algorithms), key.key_id) == (["HS256", "HS384", "HS512"], "s")
    for secret in (b"short", pem("P-256")):
        entry = {"kty": "oct", "k": base64url(secret)}
        assert jwks_keys(jwks(entry), may_hold_secrets=True)[0].keys == ()


def test_what_is_no_jwks_is_told_in_words() -> None:
    """A document with no key is one."""
    for text in (b"", b"<html>", b"\xff", b"[" * 100_000):
        assert refused("jwks", text, False) == "this is not JSON, and so not a JWKS"
    for text in (b"[]", b"1", b'{"keys": {}}', b'{"keys": null}'):
        assert "this is not a JWKS: an object with a list" in refused("jwks", text, False)
    assert "at most 100 are allowed" in refused("jwks", jwks(*[{}] * 101), False)
    assert jwks_keys(b'{"keys": []}', may_hold_secrets=False)[0].keys == ()
