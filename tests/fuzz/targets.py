"""The targets, what each begins with, and whether this interpreter can fuzz them."""

import importlib
import tomllib
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from platform import machine, python_implementation, python_version

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
CORPUS = Path(__file__).parent / "corpus"
TARGETS = (
    "request_heads",
    "websocket_frames",
    "operations",
    "positions",
    "redis_replies",
    "redis_frames",
    "proxies",
    "tokens",
)

Check = Callable[[bytes], None]


def check_of(target: str) -> Check:
    """Return the function that looks at one input; what it looks at is imported only now, to be instrumented."""
    check: Check = importlib.import_module(f"tests.fuzz.{target}").check
    return check


def seeds(target: str) -> dict[str, bytes]:
    """Return the committed inputs of a target by their names."""
    return {path.name: path.read_bytes() for path in sorted((CORPUS / target).iterdir())}


def why_not(environment: Mapping[str, str] | None = None) -> str:
    """Say in one line why this interpreter, or one of such an environment, cannot fuzz; an empty text if it can."""
    if find_spec("atheris") is not None:
        return ""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    atheris = next(one for one in map(Requirement, extras["system"]) if one.name == "atheris")
    if atheris.marker is not None and not atheris.marker.evaluate(dict(environment or {})):
        kind = f"{python_implementation()} {python_version()} on {machine()}"
        return f"no fuzzing: this machine is none that atheris has a wheel for ({kind}; pyproject.toml names them)"
    return "no fuzzing: atheris is missing; install it with: make .venv/system"
