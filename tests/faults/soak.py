"""The soak: random faults, seeded, on a cluster with clients of all transports, until the time is up.

    python -m tests.faults.soak --seconds 60 --seed 7

Prints the seed and a line that sums up; ends with 1 if the checker found anything.
"""

import argparse
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from itertools import count, cycle
from pathlib import Path

from redis import RedisError

from tests.cluster.processes import Cluster
from tests.cluster.running import running
from tests.faults.checker import Plain
from tests.faults.conftest import SETTINGS
from tests.faults.mishaps import CHANNELS, PLAIN, Faults, two_servers
from tests.faults.proxy import Proxy
from tests.faults.trial import Trial

EDGES = "abc"
CALM = (0.5, 2.5)  # seconds between two faults
COPIES = 0.3  # the share of faults after which Redis' data is kept for a roll-back
CONTENT = "plain message "
IN_FLIGHT = 2.0  # seconds in which, on a busy machine, too, a plain message is stored and a new edge counts


class PlainBackend(threading.Thread):
    """A backend that knows nothing but PUBLISH; it keeps account of what must arrive.

    What it published just before a fault after which messages may be lost is not held against the cluster, nor what it
    publishes until a later message of the channel has arrived: an edge that has just come has not begun to count.
    """

    def __init__(self, trial: Trial) -> None:
        super().__init__(daemon=True)
        self.over = threading.Event()
        self._trial = trial
        self._lock = threading.Lock()
        self._numbers = count()
        self._in_doubt: set[str] = set()  # channels
        self._first_after_fault: int | None = None  # the number of the message; None while the fault lasts
        self._alone_at = 0.0

    @property
    def hangs_by_one_edge(self) -> bool:
        """Say whether a channel has had fewer than two edges in the last moments."""
        return time.monotonic() - self._alone_at < IN_FLIGHT

    @contextmanager
    def doubting(self) -> Iterator[None]:
        """Do something after which plain messages may be lost."""
        with self._lock:
            self._in_doubt, self._first_after_fault = set(PLAIN), None
            for channel, plain in self._trial.ledger.plain.items():
                recent = time.monotonic() - IN_FLIGHT
                self._trial.ledger.plain[channel] = [one for one in plain if one.at < recent]
        yield
        self._first_after_fault = next(self._numbers)

    def run(self) -> None:
        """Publish to the plain channels in turn."""
        for channel in cycle(PLAIN):
            if self.over.wait(0.01):
                return
            content = f"{CONTENT}{next(self._numbers)}"
            self._trial.ledger.tried.add(content)
            at = time.monotonic()
            try:
                edges = self._trial.cluster.valkey.publish(channel, content)
            except (RedisError, OSError):
                edges = 0
            with self._lock:
                self._note(channel, Plain(content, at), edges)

    def _note(self, channel: str, message: Plain, edges: int) -> None:
        """Keep account of a message, and of how many edges it was sent to."""
        if edges < 2:
            self._alone_at = message.at
        if channel in self._in_doubt and self._is_heard_again(channel):
            self._in_doubt.discard(channel)
        elif edges and channel not in self._in_doubt:
            self._trial.ledger.plain.setdefault(channel, []).append(message)

    def _is_heard_again(self, channel: str) -> bool:
        """Say whether a client has a message with a position that was published after the fault."""
        logs = [one.log.entries for one in self._trial.followers if one.log.channel == channel]
        last = [entries[-1] for entries in logs if entries]
        numbers = [int(entry.content.removeprefix(CONTENT)) for entry in last if entry.kind == "data" and entry.seq]
        return self._first_after_fault is not None and max(numbers, default=-1) > self._first_after_fault


def soak(folder: Path, seconds: float, seed: int) -> str:
    """Run; return the line that sums up. Raises AssertionError with what the checker found."""
    dice = random.Random(seed)
    happened: list[tuple[str, float]] = []
    with ExitStack() as stack:
        valkey, spare = stack.enter_context(two_servers(folder))
        proxy = Proxy(valkey.port, seed).start()
        stack.callback(proxy.stop)
        proxy.spares_plain = True  # edges number plain messages as Redis sends them: it loses none by itself
        ways = {"edge_redis": proxy.url, "publisher_redis": proxy.url}
        cluster = stack.enter_context(running(Cluster(folder, edges=EDGES, valkey=valkey, **ways, **SETTINGS)))
        trial = stack.enter_context(Trial(cluster))
        trial.follow(*CHANNELS, edges=EDGES, transports=("stream", "sse", "poll"))
        trial.follow(*PLAIN, edges=EDGES, transports=("sse", "poll"))
        faults, backend = Faults(cluster, spare, proxy, folder, dice), PlainBackend(trial)
        ends = time.monotonic() + seconds
        backend.start()
        with trial.writing(channels=CHANNELS, batch=3, pause=0.01):
            faults.keep_a_copy()
            while time.monotonic() < ends:
                fault = faults.choose()
                is_alone = fault in faults.of_one_edge and backend.hangs_by_one_edge
                happened.append((fault.__name__, time.monotonic()))
                with backend.doubting() if is_alone or fault in faults.ends_in_doubt else nullcontext():
                    fault()
                if dice.random() < COPIES:
                    faults.keep_a_copy()
                time.sleep(dice.uniform(*CALM))
        backend.over.set()
        backend.join()
        cluster.wait_ready()
        try:
            summary = trial.finish(30)
        except AssertionError as error:
            story = "".join(f"\n  {at:.3f} {name}" for name, at in happened)
            raise AssertionError(f"{error}\nWhat was done to it, at which second:{story}") from error
    plain = sum(map(len, trial.ledger.plain.values()))
    assert plain, "no plain message was beyond doubt: nothing was checked of them"
    numbers = ", ".join(
        f"{name} {value}"
        for name, value in (
            summary._asdict() | {"plain_checked": plain} | Counter(name for name, _ in happened)
        ).items()
    )
    return f"seed {seed}: no violation; {numbers}"


def main() -> int:
    """Read the command line, soak, and say how it went."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args()
    print(f"soak of {options.seconds:g} s with seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        try:
            print(soak(Path(folder), options.seconds, options.seed))
        except AssertionError as error:
            print(f"seed {options.seed}: FAILED: {error}")
            for log in sorted(Path(folder).rglob("*.log")):
                print(f"--- {log.name}\n{log.read_text(errors='replace')[-2000:]}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
