"""Whoever changes a token has none: flipped, cut, doubled, or put together from several."""

import json
import random
import string

import pytest

from edge.tokens.grant import TokenError, TokenReason
from edge.tokens.keys import Key, KeySet, pem_key, secret_key
from edge.tokens.source import FixedKeys
from edge.tokens.verifier import Verifier
from tests.edge.tokens.making import CLAIMS, NOW, SECRET, base64url, pem, private_key, token

SEED = 17
MUTATIONS = 1500  # of each kind of key; `make fuzz` tries millions
LETTERS = string.ascii_letters + string.digits + "-_.=+/ %\x00ä"
HEADERS = [
    {"alg": alg, **more}
    for alg in ("none", "HS256", "HS512", "RS256", "PS256", "ES256", "EdDSA", "", None, 7)
    for more in ({}, {"kid": "../../dev/null"}, {"jku": "http://127.0.0.1:1/"}, {"crit": ["exp"]}, {"b64": False})
]
SIGNERS = [
    (secret_key(SECRET), SECRET, "HS256"),
    (pem_key(pem("2048")), private_key("2048"), "RS256"),
    (pem_key(pem("P-256")), private_key("P-256"), "ES256"),
    (pem_key(pem("Ed25519")), private_key("Ed25519"), "EdDSA"),
]


def mutated(texts: list[str], chance: random.Random) -> str:
    """Return one of the tokens, changed."""
    text = chance.choice(texts)
    at, end = sorted(chance.sample(range(len(text) + 1), 2))
    kind = chance.randrange(6)
    if kind == 0:
        return text[:at] + chance.choice(LETTERS) + text[at + 1 :]
    if kind == 1:
        return text[:at] + text[end:]
    if kind == 2:
        return text[:end] + text[at:]
    parts = [chance.choice(texts).split(".")[number] for number in range(3)]
    if kind == 3:
        parts[0] = base64url(json.dumps(chance.choice(HEADERS)).encode())
    if kind == 4:
        chance.shuffle(parts)
    if kind == 5:
        parts[chance.randrange(3)] = ""
    return ".".join(parts)


@pytest.mark.parametrize(("key", "private", "algorithm"), SIGNERS)
def test_no_mutation_is_let_in(key: Key, private: object, algorithm: str) -> None:
    """And none raises anything but the error of tokens; the good ones stay good."""
    chance = random.Random(SEED)
    source = FixedKeys(KeySet([key]))
    verifier = Verifier(source, audience="", issuer="", leeway=5, requires_expiry=True, now=lambda: NOW)
    good = [token({**CLAIMS, "sub": user}, private, algorithm) for user in ("bob", "eve", "a longer name of a user")]
    refusals = set()
    for text in (mutated(good, chance) for _ in range(MUTATIONS)):
        if text not in good:
            with pytest.raises(TokenError) as caught:
                verifier.verify(text)
            refusals.add(caught.value.reason)
            assert len(caught.value.sentence) < 200
            assert max(text.split("."), key=len)[:40] not in caught.value.sentence or len(text) < 40
    assert refusals == {TokenReason.MALFORMED, TokenReason.ALGORITHM, TokenReason.SIGNATURE}
    assert [verifier.verify(text).user for text in good] == ["bob", "eve", "a longer name of a user"]
