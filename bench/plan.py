"""How much of everything: a benchmark's plan, a dataclass of whole numbers, read from its command line."""

import argparse
from dataclasses import asdict
from typing import Any, TypeVar

Plan = TypeVar("Plan", bound=Any)


def read_plan(name: str, description: str | None, default: Plan, words: list[str]) -> Plan:
    """Return the plan of `python -m bench.NAME`: each field of `default` is an option of its name."""
    parser = argparse.ArgumentParser(prog=f"python -m bench.{name}", description=description)
    for field, value in asdict(default).items():
        parser.add_argument(f"--{field}", type=int, default=value, metavar="N")
    plan: Plan = type(default)(**vars(parser.parse_args(words)))
    return plan
