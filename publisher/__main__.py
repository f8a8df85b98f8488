"""`python -m publisher`."""

import asyncio
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec

from common.service.runner import run_service
from publisher.app import Publisher


def fast_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's loop if that optional extra is installed, else None for asyncio's own."""
    if find_spec("uvloop") is None:
        return None
    return import_module("uvloop").new_event_loop  # type: ignore[no-any-return]


def main() -> int:
    """Run the publisher until it is told to stop; return the exit code."""
    return run_service("publisher", Publisher, loop_factory=fast_loop())


if __name__ == "__main__":
    sys.exit(main())
