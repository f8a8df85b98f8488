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
from collections.abc import Callable
from itertools import count
from pathlib import Path

from redis import RedisError

from tests.cluster.processes import Cluster
from tests.cluster.running import running
from tests.cluster.waiting import until
from tests.faults.conftest import AOF, SETTINGS
from tests.faults.trial import Trial

CHANNELS = [f"room{number}" for number in range(4)]
PLAIN = [f"plain{number}" for number in range(2)]  # these get plain PUBLISHes only
CALM = (0.5, 2.5)  # seconds between two faults


class Faults:
    """What can go wrong; each leaves the cluster running again."""

    def __init__(self, cluster: Cluster, dice: random.Random) -> None:
        self._cluster = cluster
        self._dice = dice

    def kill_redis(self) -> None:
        """Kill Redis, which has an append-only file, and start it again."""
        self._cluster.valkey.kill()
        time.sleep(self._dice.uniform(0, 2))
        self._cluster.valkey.start()

    def kill_an_edge(self) -> None:
        """Kill an edge and start it again."""
        edge = self._dice.choice(self._cluster.edges)
        edge.kill()
        time.sleep(self._dice.uniform(0, 1))
        edge.start()
        until(lambda: edge.ready, 15)

    def end_an_edge(self) -> None:
        """Tell an edge to end and start it again."""
        edge = self._dice.choice(self._cluster.edges)
        edge.stop()
        edge.start()
        until(lambda: edge.ready, 15)

    def pause_redis(self) -> None:
        """Let Redis stand still for a while."""
        self._cluster.valkey.pause()
        time.sleep(self._dice.uniform(0.1, 3))
        self._cluster.valkey.resume()

    def pause_an_edge(self) -> None:
        """Let an edge stand still for a while."""
        edge = self._dice.choice(self._cluster.edges)
        edge.pause()
        time.sleep(self._dice.uniform(0.1, 2))
        edge.resume()

    def drop_subscriptions(self) -> None:
        """Have Redis close every subscribe connection."""
        with self._cluster.valkey.client() as redis:
            redis.client_kill_filter(_type="pubsub")

    def delete_a_key(self) -> None:
        """Evict a channel's position or its history."""
        with self._cluster.valkey.client() as redis:
            redis.delete(f"{{comet:{self._dice.choice(CHANNELS)}}}:{self._dice.choice(['top', 'log'])}")

    def any_of_them(self) -> str:
        """Do one at random; return its name."""
        fault: Callable[[], None] = self._dice.choice(
            [
                self.kill_redis,
                self.kill_an_edge,
                self.end_an_edge,
                self.pause_redis,
                self.pause_an_edge,
                self.drop_subscriptions,
                self.delete_a_key,
            ]
        )
        fault()
        return fault.__name__


class PlainBackend(threading.Thread):
    """A backend that knows nothing but PUBLISH, and does not care whether it worked."""

    def __init__(self, trial: Trial) -> None:
        super().__init__(daemon=True)
        self.over = threading.Event()
        self._trial = trial

    def run(self) -> None:
        """Publish to the plain channels in turn, in small bursts."""
        for number in count():
            if self.over.wait(0.01):
                return
            content = f"plain message {number}"
            self._trial.ledger.tried.add(content)
            try:
                self._trial.cluster.valkey.publish(PLAIN[number % len(PLAIN)], content)
            except (RedisError, OSError):
                continue


def soak(folder: Path, seconds: float, seed: int) -> str:
    """Run; return the line that sums up. Raises AssertionError with what the checker found."""
    dice = random.Random(seed)
    happened: dict[str, int] = {}
    cluster = Cluster(folder, edges="abc", valkey_options=AOF, **SETTINGS)
    with running(cluster), Trial(cluster) as trial:
        trial.follow(*CHANNELS, edges="abc", transports=("stream", "sse", "poll"))
        trial.follow(*PLAIN, edges="abc", transports=("sse", "poll"))
        faults, backend, ends = Faults(cluster, dice), PlainBackend(trial), time.monotonic() + seconds
        backend.start()
        with trial.writing(channels=CHANNELS, batch=3, pause=0.01):
            while time.monotonic() < ends:
                name = faults.any_of_them()
                happened[name] = happened.get(name, 0) + 1
                time.sleep(dice.uniform(*CALM))
        backend.over.set()
        backend.join()
        cluster.wait_ready()
        summary = trial.finish(30)
    numbers = ", ".join(f"{name} {value}" for name, value in (summary._asdict() | happened).items())
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
            for log in sorted(Path(folder).glob("*.log")):
                print(f"--- {log.name}\n{log.read_text(errors='replace')[-2000:]}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
