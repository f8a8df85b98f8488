"""Fuzz one target in this process, or all of them for some minutes: see the package."""

import argparse
import sys
from typing import Any

from tests.fuzz.campaign import fuzz
from tests.fuzz.targets import TARGETS, check_of, why_not

INSTRUMENTED = ["common", "edge", "websockets", "tests.fuzz"]


def main() -> int:
    """Obey the command line; 1 if something was found, or if nothing can be."""
    if reason := why_not():
        sys.stderr.write(reason + "\n")
        return 1
    if sys.argv[1:2] and not sys.argv[1].startswith("-"):
        return _fuzz_here(sys.argv[1], sys.argv[2:])
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="for all targets together (default: 10)")
    return _fuzz_all(parser.parse_args().minutes * 60 / len(TARGETS))


def _fuzz_here(target: str, options: list[str]) -> int:
    """Hand this process over to libFuzzer, which ends it."""
    import atheris  # noqa: PLC0415  # it has no wheel for some interpreters

    with atheris.instrument_imports(include=INSTRUMENTED):
        check = check_of(target)
    atheris.Setup([sys.argv[0], *options], check)
    done: Any = atheris.Fuzz()
    return int(done or 0)


def _fuzz_all(seconds: float) -> int:
    """Fuzz one target after the other, and tell of each."""
    outcomes = [fuzz(target, seconds, print_to=sys.stdout) for target in TARGETS]
    return int(any(outcome.code for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
