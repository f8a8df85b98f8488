"""Tokens are checked by keys and claims, and remembered."""

import json

import pytest

from common.errors import UnavailableError
from edge.tokens.grant import TokenError, TokenReason
from edge.tokens.keys import Key, KeySet, jwks_keys, pem_key, secret_key
from edge.tokens.verifier import Verifier
from tests.edge.tokens.making import CLAIMS, NOW, SECRET, base64url, jwk, jwks, pem, private_key, signed, token


class Source:
    """Keys that a test changes."""

    def __init__(self, *keys: Key) -> None:
        self.keys: KeySet | None = KeySet(keys)
        self.looked = 0

    def current(self) -> KeySet:
        if self.keys is None:
            raise UnavailableError("not yet")
        return self.keys

    def look_again(self) -> None:
        self.looked += 1


class Clock:
    """The time as a test sets it."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Now."""
    return Clock()


@pytest.fixture
def source() -> Source:
    """One secret."""
    return Source(secret_key(SECRET))


@pytest.fixture
def verifier(source: Source, clock: Clock) -> Verifier:
    """By the secret, now."""
    return of(source, clock)


def of(source: Source, clock: Clock, most_cached: int = 4) -> Verifier:
    """Return a verifier that asks for nothing but `exp`."""
    return Verifier(source, audience="", issuer="", leeway=5, requires_expiry=True, now=clock, most_cached=most_cached)


def refused(verifier: Verifier, text: str) -> tuple[TokenReason, str]:
    """Return why a token is refused."""
    with pytest.raises(TokenError) as caught:
        verifier.verify(text)
    assert caught.value.status == 401
    return caught.value.reason, caught.value.sentence


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_a_token_by_the_secret_is_good(verifier: Verifier, algorithm: str) -> None:
    """Whatever its `kid` says: there is one key."""
    for text in (token(algorithm=algorithm), token(algorithm=algorithm, kid="/etc/passwd")):
        grant = verifier.verify(text)
        assert (grant.user, grant.channels.matches("news:1"), grant.expires) == ("bob", True, NOW + 65)


@pytest.mark.parametrize(
    ("kind", "algorithm"),
    [
        ("2048", "RS256"),
        ("2048", "RS512"),
        ("2048", "PS256"),
        ("2048", "PS384"),
        ("P-256", "ES256"),
        ("P-384", "ES384"),
        ("P-521", "ES512"),
        ("Ed25519", "EdDSA"),
        ("Ed448", "EdDSA"),
    ],
)
def test_a_token_by_the_private_key_is_good(clock: Clock, kind: str, algorithm: str) -> None:
    """By every algorithm of the kind of key."""
    verifier = of(Source(pem_key(pem(kind))), clock)
    assert verifier.verify(token(CLAIMS, private_key(kind), algorithm)).user == "bob"
    assert refused(verifier, token(CLAIMS, SECRET))[0] is TokenReason.ALGORITHM


def test_a_public_key_is_not_a_secret(clock: Clock) -> None:
    """A token that is signed with it, as if it were one, has an algorithm that the key does not have."""
    for text in (pem("P-256"), pem("P-256").strip()):
        forged = signed('{"alg":"HS256"}', json.dumps(CLAIMS), text)
        reason, sentence = refused(of(Source(pem_key(pem("P-256"))), clock), forged)
        assert reason is TokenReason.ALGORITHM
        assert sentence == "token: alg 'HS256' does not go with the key in COMET_TOKEN_KEY; sign it by another"


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "", "HS1", "ES256", "RS256", "hs256", "x" * 200])
def test_the_algorithm_is_the_keys(verifier: Verifier, source: Source, algorithm: str) -> None:
    """With a good signature, or with none."""
    header, claims = json.dumps({"alg": algorithm}), json.dumps(CLAIMS)
    for text in (signed(header, claims), f"{base64url(header.encode())}.{base64url(claims.encode())}."):
        reason, sentence = refused(verifier, text)
        assert reason is TokenReason.ALGORITHM
        assert len(sentence) < 150
    assert source.looked == 0


def test_a_wrong_signature_is_refused_before_the_claims_are_read(verifier: Verifier) -> None:
    """Another secret, another text, none at all."""
    head, _, tail = token().partition(".")
    payload, _, signature = tail.partition(".")
    other = base64url(json.dumps({**CLAIMS, "sub": "eve"}).encode())
    for text in (
        token(key=b"y" * 32),
        f"{head}.{other}.{signature}",
        f"{head}.{payload}.",
        f"{head}.{payload}.{signature[:-3]}",
        signed('{"alg":"HS256"}', "no JSON", b"y" * 32),
    ):
        reason, sentence = refused(verifier, text)
        assert reason is TokenReason.SIGNATURE
        assert text not in sentence
        assert SECRET.decode() not in sentence


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({**CLAIMS, "exp": NOW - 5}, TokenReason.EXPIRED),
        ({**CLAIMS, "nbf": NOW + 60}, TokenReason.NOT_YET),
        ({**CLAIMS, "channels": "*"}, TokenReason.CLAIM),
        ({"sub": "bob"}, TokenReason.CLAIM),
        ([CLAIMS], TokenReason.MALFORMED),
    ],
)
def test_a_good_signature_is_not_enough(verifier: Verifier, claims: object, reason: TokenReason) -> None:
    """Each time it is shown."""
    for _ in range(2):
        assert refused(verifier, token(claims))[0] is reason


@pytest.mark.parametrize("text", ["x" * 1_000_000, "ä", "", "a.b.c", token()[:-1], f"{token()}.x", f" {token()}"])
def test_what_is_no_token_is_told_so(verifier: Verifier, text: str) -> None:
    """Without any key."""
    assert refused(verifier, text)[0] is TokenReason.MALFORMED


def test_a_kid_chooses_among_the_keys(clock: Clock) -> None:
    """It is looked up among them, and nowhere else."""
    keys, _ = jwks_keys(jwks(jwk("P-256", kid="a"), jwk("2048", kid="b")), may_hold_secrets=False)
    source = Source(*keys.keys)
    verifier = of(source, clock)
    assert verifier.verify(token(CLAIMS, private_key("P-256"), "ES256", kid="a")).user == "bob"
    assert verifier.verify(token(CLAIMS, private_key("2048"), "RS256")).user == "bob"
    wrong = token(CLAIMS, private_key("P-256"), "ES256", kid="b")
    assert (refused(verifier, wrong)[0], source.looked) == (TokenReason.ALGORITHM, 0)
    for number, key_id in enumerate(["c", "../../dev/null", "https://evil.example/jwks", "A"], 1):
        reason, sentence = refused(verifier, token(CLAIMS, private_key("P-256"), "ES256", kid=key_id))
        assert (reason, source.looked) == (TokenReason.SIGNATURE, number)
        assert sentence == "token: no key of COMET_TOKEN_KEY has the kid in its header"


def test_headers_that_bring_a_key_are_not_looked_at(verifier: Verifier, source: Source) -> None:
    """`jku`, `x5u` and `jwk` are nobody's word."""
    told = {"jku": "https://evil.example/jwks", "jwk": jwk("P-256"), "x5u": "https://evil.example/x"}
    assert refused(verifier, token(CLAIMS, private_key("P-256"), "ES256", **told))[0] is TokenReason.ALGORITHM
    assert verifier.verify(token(CLAIMS, **told)).user == "bob"
    assert source.looked == 0


def test_only_a_few_keys_are_tried(clock: Clock) -> None:
    """For a token that does not say which: the work that a stranger makes is bounded."""
    tried = Source(*[secret_key(bytes([65 + number]) * 32) for number in range(9)])
    verifier = of(tried, clock)
    assert verifier.verify(token(key=b"E" * 32)).user == "bob"
    assert refused(verifier, token(key=b"F" * 32))[0] is TokenReason.SIGNATURE


def test_one_seen_before_is_the_same_grant(verifier: Verifier, clock: Clock) -> None:
    """Until its time is over, which is looked at each time."""
    text = token()
    grant = verifier.verify(text)
    assert verifier.verify(text) is grant
    clock.now = NOW + 64.9
    assert verifier.verify(text) is grant
    clock.now = NOW + 65
    assert refused(verifier, text)[0] is TokenReason.EXPIRED
    assert refused(verifier, token()[:-4])[0] is not TokenReason.EXPIRED


def test_few_are_remembered(verifier: Verifier) -> None:
    """Those that were shown last."""
    texts = [token({**CLAIMS, "jti": str(number)}) for number in range(5)]
    grants = [verifier.verify(text) for text in texts[:4]]
    assert verifier.verify(texts[0]) is grants[0]
    verifier.verify(texts[4])
    assert verifier.verify(texts[0]) is grants[0]
    assert verifier.verify(texts[1]) is not grants[1]


def test_those_with_many_channels_are_fewer(source: Source, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """What they take together is bounded, too."""
    monkeypatch.setattr("edge.tokens.verifier.MOST_PATTERNS", 10)
    verifier = of(source, clock)
    texts = [token({**CLAIMS, "channels": [f"{user}{number}" for number in range(5)]}) for user in "abc"]
    grants = [verifier.verify(text) for text in texts]
    assert verifier.verify(texts[2]) is grants[2]
    assert verifier.verify(texts[1]) is grants[1]
    assert verifier.verify(texts[0]) is not grants[0]


def test_new_keys_ask_again(verifier: Verifier, source: Source) -> None:
    """What an old key has signed is not good because it was."""
    text = token()
    grant = verifier.verify(text)
    source.keys = KeySet([secret_key(b"y" * 32)])
    assert refused(verifier, text)[0] is TokenReason.SIGNATURE
    source.keys = KeySet([secret_key(SECRET)])
    assert verifier.verify(text) is not grant


def test_without_keys_nobody_is_let_in(verifier: Verifier, source: Source) -> None:
    """And nobody is told that the token is bad."""
    source.keys = None
    with pytest.raises(UnavailableError):
        verifier.verify(token())
