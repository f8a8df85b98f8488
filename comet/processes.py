"""The processes of `comet dev`: started together, watched together, ended together."""

import asyncio
import json
import os
from collections import deque
from collections.abc import Mapping
from contextlib import suppress

from comet.guard import guarded

STOP_TIMEOUT = 5.0  # seconds that a child has to end after SIGTERM
MAX_TAIL_LINES = 20  # of a child's log: the last ones, shown when it dies
MAX_LINE_BYTES = 1 << 20
QUIET_LEVELS = frozenset({"debug", "info"})


class Child:
    """One process and its log: warnings are printed, the last lines are kept in case that it dies."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, *, quiet: bool) -> None:
        self.name = name
        self.tail: deque[str] = deque(maxlen=MAX_TAIL_LINES)
        self._quiet = quiet
        self._process = process
        self._relay = asyncio.create_task(self._relay_log())

    async def ended(self) -> int:
        """Wait for the end of the process and of its log; return the exit code."""
        code = await self._process.wait()
        await asyncio.wait([self._relay])  # unlike a plain await, this does not cancel the relay with the waiter
        return code

    def mute(self) -> None:
        """Print no more lines of the log."""
        self._quiet = True

    async def stop(self) -> None:
        """Send SIGTERM, then SIGKILL if the process does not end in time."""
        with suppress(ProcessLookupError):
            self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), STOP_TIMEOUT)
        except TimeoutError:
            self._process.kill()
        await self.ended()

    async def _relay_log(self) -> None:
        assert self._process.stdout is not None  # noqa: S101  # it was started with a pipe
        async for line in self._process.stdout:
            text = line.decode(errors="replace").rstrip()
            self.tail.append(text)
            if not self._quiet and (shown := worth_showing(text)):
                print(f"[{self.name}] {shown}", flush=True)


async def start(name: str, *command: str, settings: Mapping[str, str] | None = None, quiet: bool = False) -> Child:
    """Start a child in a session of its own: a Ctrl-C goes to this process only, which then stops the child."""
    process = await asyncio.create_subprocess_exec(
        *guarded(*command),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        limit=MAX_LINE_BYTES,
        env={**os.environ, **(settings or {})},
        start_new_session=True,
    )
    return Child(name, process, quiet=quiet)


async def first_to_end(children: list[Child]) -> tuple[Child, int]:
    """Wait until any child ends; return it with its exit code."""
    waits = {asyncio.create_task(child.ended()): child for child in children}
    try:
        done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
    first = done.pop()
    return waits[first], first.result()


def worth_showing(line: str) -> str:
    """Return a log line in a form for people; empty for routine lines."""
    try:
        record = json.loads(line)
    except ValueError:
        return line
    if not isinstance(record, dict):
        return line
    if record.get("level") in QUIET_LEVELS:
        return ""
    fields = " ".join(f"{key}={value}" for key, value in record.items() if key not in {"event", "level", "timestamp"})
    return f"{record.get('level', '')}: {record.get('event', line)} {fields}".strip()
