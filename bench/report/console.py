"""What a benchmark says while it runs, and how it ends early."""

import signal
import sys

from rich.console import Console


def say(line: str, style: str | None = None) -> None:
    """Print one line beside the tables."""
    Console().print(line, style=style, highlight=False, markup=False, soft_wrap=True)


def progress(line: str) -> None:
    """Say what is going on, on the standard error output."""
    print(line, file=sys.stderr, flush=True)


def end_on_signals() -> None:
    """Let SIGTERM and SIGHUP end this process as Ctrl-C does: by an exception, which ends what it started, too."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
