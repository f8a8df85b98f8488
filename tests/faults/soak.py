"""The soak: random faults, seeded, on a cluster with clients of all transports, until the time is up.

    python -m tests.faults.soak --seconds 60 --seed 7

Prints the seed and a line that sums up; ends with 1 if the checker found anything.
"""

import argparse
import random
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from itertools import count, cycle
from pathlib import Path

from redis import RedisError

from tests.cluster.processes import Cluster, Valkey, free_ports
from tests.cluster.running import running
from tests.cluster.waiting import until
from tests.faults.checker import Plain
from tests.faults.conftest import AOF, SETTINGS
from tests.faults.proxy import Proxy
from tests.faults.trial import Trial

CHANNELS = [f"room{number}" for number in range(4)]
PLAIN = [f"plain{number}" for number in range(2)]  # these get plain PUBLISHes only
EDGES = "abc"
CALM = (0.5, 2.5)  # seconds between two faults
COPIES = 0.3  # the share of faults after which Redis' data is kept for a roll-back
CONTENT = "plain message "
IN_FLIGHT = 2.0  # seconds in which, on a busy machine, too, a plain message is stored and a new edge counts


class Faults:
    """What can go wrong; each leaves the cluster running again.

    `ends_in_doubt` are those after which a plain message may be lost that Redis has sent to edges: none of them has
    stored it yet. Those `of_one_edge` are of that kind while a channel has no other.
    """

    def __init__(self, cluster: Cluster, proxy: Proxy, folder: Path, dice: random.Random) -> None:
        self._cluster = cluster
        self._proxy = proxy
        self._copy = folder / "older"
        self._dice = dice
        self.ends_in_doubt = {self.kill_redis, self.pause_redis, self.drop_subscriptions, self.roll_back}
        self.of_one_edge = {self.kill_an_edge, self.end_an_edge, self.pause_an_edge}

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

    def wipe_a_channel(self) -> None:
        """Evict a channel's position and its history; a plain channel's, too."""
        with self._cluster.valkey.client() as redis:
            name = self._dice.choice(CHANNELS + PLAIN)
            redis.delete(f"{{comet:{name}}}:top", f"{{comet:{name}}}:log")

    def lose_and_double(self) -> None:
        """Lose and double some stored messages on their way to the edges, for a while."""
        self._proxy.lose = self._proxy.double = 0.03
        time.sleep(self._dice.uniform(0.2, 1))
        self._proxy.lose = self._proxy.double = 0.0

    def keep_a_copy(self) -> None:
        """Keep a copy of Redis' data for a roll-back."""
        with self._cluster.valkey.client() as redis:
            data = Path(redis.config_get("dir")["dir"]) / "appendonlydir"  # type: ignore[index]
        shutil.rmtree(self._copy, ignore_errors=True)
        shutil.copytree(data, self._copy)

    def roll_back(self) -> None:
        """Kill Redis and start it with the data of an earlier moment."""
        with self._cluster.valkey.client() as redis:
            data = Path(redis.config_get("dir")["dir"]) / "appendonlydir"  # type: ignore[index]
        self._cluster.valkey.kill()
        shutil.rmtree(data)
        shutil.copytree(self._copy, data)
        self._cluster.valkey.start()

    def choose(self) -> Callable[[], None]:
        """Return one at random."""
        return self._dice.choice(
            [
                self.kill_redis,
                self.kill_an_edge,
                self.end_an_edge,
                self.pause_redis,
                self.pause_an_edge,
                self.drop_subscriptions,
                self.delete_a_key,
                self.wipe_a_channel,
                self.wipe_a_channel,
                self.lose_and_double,
                self.roll_back,
            ]
        )


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
    valkey = Valkey(free_ports(1)[0], folder, *AOF)
    proxy = Proxy(valkey.port, seed).start()
    proxy.spares_plain = True  # edges number plain messages as Redis sends them: it loses none by itself
    cluster = Cluster(folder, edges=EDGES, valkey=valkey, edge_redis=proxy.url, **SETTINGS)
    with running(cluster), Trial(cluster) as trial:
        trial.follow(*CHANNELS, edges=EDGES, transports=("stream", "sse", "poll"))
        trial.follow(*PLAIN, edges=EDGES, transports=("sse", "poll"))
        faults, backend = Faults(cluster, proxy, folder, dice), PlainBackend(trial)
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
    proxy.stop()
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
