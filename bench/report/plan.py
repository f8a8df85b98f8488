"""How much of everything: a benchmark's plan, read from its command line; what every benchmark can be told is here."""

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from bench.system.paths import RESULTS

T = TypeVar("T")


def option(default: T, meaning: str) -> T:
    """Return a field of a plan: its default, and what the command line's help says about it."""
    return field(default=default, metadata={"help": meaning})  # as dataclasses have it


@dataclass(frozen=True)
class ResultPlan:
    """How often everything is measured, and what becomes of the numbers."""

    rounds: int = option(3, "of which the medians are shown")
    strict: bool = option(False, "exit with 1 if a bar is missed")
    results: Path = field(default=RESULTS, metadata={"help": "where the numbers and the chart go"})


@dataclass(frozen=True)
class Plan(ResultPlan):
    """What a benchmark that looks at what is left behind can be told."""

    forget_seconds: float = option(11.0, "after which an edge has forgotten closed connections: its header timeout")


@dataclass(frozen=True)
class PlanWithPeers(Plan):
    """What a benchmark that compares servers can be told."""

    peers: bool = option(True, "Nchan, Nchan with Redis and aiohttp as well")


P = TypeVar("P", bound=ResultPlan)


def read_plan(name: str, description: str | None, default: P, words: Sequence[str]) -> P:
    """Return the plan of `python -m bench.NAME`: each field of `default` is an option of its name."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog=f"python -m bench.{name}", description=description, formatter_class=formatter)
    for one in fields(default):
        _add(parser, one.name, getattr(default, one.name), one.metadata.get("help", ""))
    return type(default)(**vars(parser.parse_args(words)))


def shown(plan: ResultPlan) -> dict[str, Any]:
    """Return what of a plan belongs to its numbers."""
    return {name: value for name, value in asdict(plan).items() if name not in {"strict", "results"}}


def _add(parser: argparse.ArgumentParser, name: str, value: object, meaning: str) -> None:
    flag, meaning = f"--{name.replace('_', '-')}", f"{meaning} [{value}]".strip()
    if isinstance(value, bool):
        parser.add_argument(flag, action=argparse.BooleanOptionalAction, default=value, help=meaning)
    else:
        kind = type(value)
        parser.add_argument(flag, type=kind, default=value, metavar="N" if kind is int else "X", help=meaning)
