"""What an edge pays for a token, one seen before and a new one, by its algorithm: `python -m bench.tokens`.

CPU time of the check alone: signature, claims, channels, and whether the channels asked for are among them.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bench.report.checks import Check, at_most
from bench.report.console import end_on_signals
from bench.report.outcome import conclude
from bench.report.plan import Plan, option, read_plan
from common.access.patterns import Patterns
from edge.tokens.access import Access
from edge.tokens.keys import Key, KeySet, pem_key, secret_key
from edge.tokens.source import FixedKeys
from edge.tokens.verifier import Verifier

SECRET = b"a secret of sixty-four bytes or more, as the longest algorithm wants"
NEW, SEEN = "a new one, µs", "one seen before, µs"
BARS = {"HS256": {SEEN: 15.0, NEW: 60.0}, "ES256": {SEEN: 15.0, NEW: 250.0}}
CLAIMS = {"sub": "user-12345", "exp": 4e9, "iss": "https://login.example", "channels": ["room:1", "room:2", "news:*"]}
ASKED = ["room:1", "news:today", "user:user-12345"]


@dataclass(frozen=True)
class TokensPlan(Plan):
    """How many."""

    rounds: int = option(9, "of which the medians are shown")
    tokens: int = option(500, "of each algorithm, all different")


def signers() -> dict[str, tuple[Any, Key]]:
    """Return what signs and what checks, by algorithm."""
    private = {
        "ES256": ec.generate_private_key(ec.SECP256R1()),
        "RS256": rsa.generate_private_key(65537, 2048),
        "EdDSA": ed25519.Ed25519PrivateKey.generate(),
    }
    return {"HS256": (SECRET, secret_key(SECRET))} | {name: (key, _public(key)) for name, key in private.items()}


def _public(private: Any) -> Key:
    return pem_key(private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def measure(key: Key, texts: list[str]) -> dict[str, float]:
    """Return microseconds of CPU for each token, when it comes for the first and for the second time."""
    source, access = FixedKeys(KeySet([key])), Access(Patterns(["lobby"]), ["user:{sub}"])
    verifier = Verifier(source, audience="", issuer="https://login.example", leeway=5, requires_expiry=True)

    def all_of_them() -> None:
        for text in texts:
            access.check(ASKED, verifier.verify(text))

    return {NEW: _timed(all_of_them) / len(texts), SEEN: _timed(all_of_them) / len(texts)}


def _timed(work: Callable[[], None]) -> float:
    """Return the CPU time of some work in microseconds."""
    start = time.process_time_ns()
    work()
    return (time.process_time_ns() - start) / 1000


def run(plan: TokensPlan) -> dict[str, dict[str, float]]:
    """Measure all algorithms; each round has a verifier of its own, which knows no token."""
    rows = {}
    for algorithm, (private, key) in signers().items():
        texts = [jwt.encode({**CLAIMS, "jti": str(number)}, private, algorithm) for number in range(plan.tokens)]
        rounds = [measure(key, texts) for _ in range(plan.rounds)]
        rows[algorithm] = {what: median(one[what] for one in rounds) for what in (NEW, SEEN)}
    return rows


def judge(rows: dict[str, dict[str, float]]) -> list[Check]:
    """Hold the algorithms that have bars against them."""
    return [
        at_most(f"{algorithm}: {what}", rows[algorithm][what], most)
        for algorithm, bars in BARS.items()
        for what, most in bars.items()
    ]


def main() -> int:
    """Measure, print, and keep the numbers."""
    end_on_signals()
    plan = read_plan("tokens", __doc__, TokensPlan(), sys.argv[1:])
    rows = run(plan)
    return conclude("tokens", f"checking a token and {len(ASKED)} channels", plan, rows, judge(rows))


if __name__ == "__main__":
    sys.exit(main())
