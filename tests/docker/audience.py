"""The audience of a test: the process of `tests.docker.subscribers`, and publishers that keep a rate."""

import pickle
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from comet.guard import guarded
from tests.cluster.clients import Json
from tests.cluster.processes import ROOT
from tests.cluster.waiting import until
from tests.docker.account import Account
from tests.faults.checker import Ledger
from tests.faults.writer import Writer

ATTACHING = 60.0  # seconds; deadlines, not promises
FINISHING = 60.0


class Audience:
    """Subscribers in a process of their own."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self._process = process
        self._folder = folder

    def wait_attached(self) -> float:
        """Wait until every one was welcomed; return the seconds it took."""
        return self._wait_for("attached", ATTACHING)

    def wait_finished(self) -> float:
        """Wait until every one has its channel's last message; return the seconds it took."""
        return self._wait_for("finished", FINISHING)

    def account(self) -> Account:
        """Return what they were told, after they have finished."""
        account: Account = pickle.loads((self._folder / "account").read_bytes())
        return account

    def _wait_for(self, word: str, deadline: float) -> float:
        began, said = time.monotonic(), self._folder / "said"
        until(lambda: word in said.read_text() or self._process.poll() is not None, deadline)
        assert word in said.read_text(), said.read_text()
        return time.monotonic() - began


@contextmanager
def audience(folder: Path, host: str, port: int, channels: int, **transports: int) -> Iterator[Audience]:
    """Run a number of subscribers of each transport, on `room-0` and following, while the block runs."""
    command = [sys.executable, "-m", "tests.docker.subscribers", host, str(port), str(folder / "account")]
    command += [str(channels), *(f"{name}={number}" for name, number in transports.items())]
    with (folder / "said").open("wb") as out:
        process = subprocess.Popen(guarded(*command), cwd=ROOT, stdin=subprocess.PIPE, stdout=out, stderr=out)
    with process:
        try:
            yield Audience(process, folder)
        finally:
            process.kill()


class PacedWriter(Writer):
    """A writer that publishes `per_second` arrays a second, each to many channels, whatever one takes."""

    def __init__(self, port: int, channels: list[str], ledger: Ledger, *, batch: int, per_second: float) -> None:
        super().__init__(port, channels, ledger, batch=batch, pause=0)
        self._period = 1 / per_second

    def _messages(self, turn: int) -> list[Json]:
        first = turn * self._batch
        channels = (self._channels[(first + number) % len(self._channels)] for number in count())
        return [message | {"id": channel} for message, channel in zip(super()._messages(turn), channels, strict=False)]

    def run(self) -> None:
        """Publish; never dies silently."""
        began = time.monotonic()
        try:
            for turn in count():
                if self.over.wait(max(0.0, began + turn * self._period - time.monotonic())):
                    break
                self._publish(self._messages(turn))
        except Exception as error:
            self.error = error
        finally:
            self._post.close()
