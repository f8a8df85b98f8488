"""The targets hold for what is committed, for simple mutations of it, and for ten seconds of guided fuzzing each."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import MAY_SKIP
from tests.fuzz.__main__ import main
from tests.fuzz.campaign import fuzz
from tests.fuzz.targets import CORPUS, TARGETS, check_of, seeds, why_not

SECONDS = 10
MUTATIONS = 3000
MIN_INPUTS = {  # in these seconds: a twelfth of what two cores reach, for a machine may have other work
    "request_heads": 12_000,
    "websocket_frames": 3_000,
    "operations": 10_000,
    "positions": 2_000,
    "redis_replies": 2_500,
    "redis_frames": 11_000,
    "proxies": 14_000,
    "tokens": 5_000,
}
SEED = 15

needs_atheris = pytest.mark.skipif(bool(why_not()), reason=why_not())


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Return an input with a few bytes replaced, doubled or left out."""
    found = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at, size = chance.randrange(len(found) + 1), chance.randint(0, 6)
        middle = chance.choice([b"", chance.randbytes(size), bytes(found[at : at + size]) * 2])
        found[at : at + size] = middle
    return bytes(found)


def test_each_target_has_a_corpus_and_each_corpus_a_target() -> None:
    """What is committed is used."""
    assert {path.name for path in CORPUS.iterdir()} == set(TARGETS)
    assert all(len(seeds(target)) >= 8 for target in TARGETS)


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_committed_does_no_harm(target: str) -> None:
    """Each input of the corpus, as it is."""
    for data in seeds(target).values():
        check_of(target)(data)


@pytest.mark.parametrize("target", TARGETS)
def test_simple_mutations_do_no_harm(target: str) -> None:
    """Without atheris, too, something is tried, always the same."""
    chance, corpus = random.Random(SEED), list(seeds(target).values())
    for _ in range(MUTATIONS):
        check_of(target)(mutated(chance.choice(corpus), chance))


@pytest.mark.system
@needs_atheris
@pytest.mark.parametrize("target", TARGETS)
def test_ten_seconds_of_fuzzing_find_nothing(
    target: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Nothing is raised but what the parser documents, and the invariants of the target hold."""
    outcome = fuzz(target, SECONDS, tmp_path)
    assert outcome.code == 0, outcome.text
    assert outcome.inputs >= MIN_INPUTS[target], outcome.text
    record_property(f"inputs of {target}", outcome.inputs)


@pytest.mark.system
@needs_atheris
def test_a_fault_is_found(tmp_path: Path) -> None:
    """The fuzzer sees the code: it finds one input of 2**32 by the way that the others take."""
    outcome = fuzz("planted_fault", SECONDS, tmp_path)
    assert outcome.code != 0, outcome.text
    assert "the planted fault" in outcome.text
    (found,) = tmp_path.glob("crash-*")
    assert found.read_bytes() == b"fuzz"


def test_without_atheris_one_line_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is missing, which is a failure where nothing may be skipped; or there is none for this interpreter."""
    monkeypatch.setattr("tests.fuzz.targets.find_spec", lambda name: None)
    served = {"python_version": "3.11", "sys_platform": "linux", "platform_machine": "x86_64"}
    assert why_not(served) == "no fuzzing: atheris is missing; install it with: make .venv/system"
    reason = why_not(served | {"python_version": "3.99"})
    assert any(words in reason for words in MAY_SKIP)
    assert "\n" not in reason
    monkeypatch.setattr("tests.fuzz.__main__.why_not", lambda: reason)
    assert main() == 1
