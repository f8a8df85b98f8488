"""Fuzzing one target for a while, in a process of its own."""

import re
import subprocess
import sys
from pathlib import Path
from typing import IO, NamedTuple

from tests.fuzz.targets import CORPUS, ROOT

KEPT = ROOT / "build" / "fuzz"
MAX_LENGTH = 4096  # bytes of an input: shorter ones are more of them
SLOWEST = 5  # seconds that one input may take
MEMORY = 1024  # MiB
GRACE = 40.0  # seconds for the start and the end
EXECUTED = re.compile(r"stat::number_of_executed_units: *(\d+)")


class Outcome(NamedTuple):
    """What came of it: the exit code (0: nothing was found), how many inputs were tried, and all that was printed."""

    code: int
    inputs: int
    text: str


def fuzz(target: str, seconds: float, folder: Path | None = None, *, print_to: IO[str] | None = None) -> Outcome:
    """Fuzz a target; `folder` keeps what leads to new code, and what does harm."""
    folder = folder or KEPT / target
    learned = folder / "learned"
    learned.mkdir(parents=True, exist_ok=True)
    options = [
        f"-max_total_time={max(1, round(seconds))}",
        f"-artifact_prefix={folder}/",
        f"-max_len={MAX_LENGTH}",
        f"-timeout={SLOWEST}",
        f"-rss_limit_mb={MEMORY}",
        "-print_final_stats=1",
        str(learned),
        *([str(CORPUS / target)] if (CORPUS / target).is_dir() else []),
    ]
    command = [sys.executable, "-m", "tests.fuzz", target, *options]
    done = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=seconds + GRACE
    )
    text = done.stdout.decode(errors="replace")
    executed = EXECUTED.search(text)
    outcome = Outcome(done.returncode, int(executed[1]) if executed else 0, text)
    if print_to is not None:
        print_to.write(report(target, seconds, outcome))
        print_to.flush()
    return outcome


def report(target: str, seconds: float, outcome: Outcome) -> str:
    """Return one line, and all that was printed if something was found."""
    if outcome.code:
        return f"{outcome.text}\n{target}: SOMETHING WAS FOUND; it is in {KEPT / target}\n"
    return f"{target}: {outcome.inputs:,} inputs in {seconds:.0f} s, nothing was found\n"
