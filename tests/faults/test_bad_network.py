"""The network between us and Redis stalls, cuts, loses and doubles: a proxy in between does it on purpose."""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import pytest

from tests.cluster.processes import Valkey, free_ports
from tests.cluster.waiting import until
from tests.faults.conftest import StartTrial
from tests.faults.numbers import Record, note
from tests.faults.proxy import Hole, Proxy
from tests.faults.trial import Trial

pytestmark = pytest.mark.system

ProxyTo = Callable[[int], Proxy]
STALL = 10.0  # seconds
KEYS, WRITERS = 10_000, 8
DETECTED = 7.0  # seconds: a probe every 5, which has 2
LOOKING = 0.2  # seconds between two looks of ours, and until the processes get their turn
REPAIRED = 0.05  # seconds after the next message of the channel
ROUNDS = 3  # the median of which counts: clients and proxy are threads, and the machine does other things, too


@pytest.fixture
def valkey(tmp_path: Path) -> Valkey:
    """Return a Valkey whose port is known before it runs."""
    return Valkey(free_ports(1)[0], tmp_path)


@pytest.fixture
def proxy(valkey: Valkey, proxy_to: ProxyTo) -> Proxy:
    """Return a proxy in front of that Valkey."""
    return proxy_to(valkey.port)


def test_a_half_open_connection(start: StartTrial, valkey: Valkey, proxy: Proxy, record_property: Record) -> None:
    """A connection that is open and carries nothing is found out within 7 s; 2 s after it heals nothing is missing."""
    trial = start(valkey=valkey, edge_redis=proxy.url)
    trial.follow("one", "two")
    with trial.writing(pause=0.01):
        began = time.monotonic()
        proxy.freeze()
        until(lambda: all(not edge.ready for edge in trial.cluster.edges), 15)
        detected = time.monotonic() - began
        time.sleep(max(0.0, STALL - detected))  # the fault's own duration
        acknowledged, healed = trial.ledger.count, time.monotonic()
        proxy.thaw()
        until(lambda: all(len(one.messages) >= acknowledged / 2 - 1 for one in trial.followers))
        repaired = time.monotonic() - healed
    summary = trial.finish()

    note(record_property, summary, detected_after=detected, repaired_after=repaired, unseen_meanwhile=acknowledged)
    assert (summary.drops, summary.resets) == (0, 0)
    assert detected <= DETECTED + LOOKING
    assert repaired <= 2.0


def test_a_publisher_that_loses_its_answers(
    start: StartTrial, valkey: Valkey, proxy: Proxy, record_property: Record
) -> None:
    """One in seven of Redis' replies never reaches the publisher: with a key a retry publishes exactly once.

    A reply answers all that went out together, so what is counted is the publishes that were told 503.
    """
    trial = start(valkey=valkey, publisher_redis=proxy.url)
    trial.follow("room", transports=("stream",))
    proxy.swallow = 1 / 7
    with ExitStack() as writing:
        writers = [writing.enter_context(trial.writing(batch=1, pause=0)) for _ in range(WRITERS)]
        until(lambda: trial.ledger.count >= KEYS, 60)
    proxy.swallow = 0
    summary = trial.finish()

    refused = sum(len(writer.refused) for writer in writers)

    note(record_property, summary, replies_cut=proxy.swallowed, publishes_refused=refused)
    assert refused > KEYS / 10
    assert summary.slowest_refusal <= 1.0
    assert len(set(trial.ledger.acked["room"].values())) == len(trial.ledger.acked["room"]), "a key has two positions"
    for follower in trial.followers:
        assert len(set(follower.messages)) == len(follower.messages), "a key was published twice"


def test_lost_and_doubled_messages(start: StartTrial, valkey: Valkey, proxy: Proxy, record_property: Record) -> None:
    """One message in a hundred is lost and one doubled on its way to the edges: the next message brings it back."""
    trial = start(valkey=valkey, edge_redis=proxy.url, COMET_AUDIT="60")  # the next message must show the hole
    trial.follow("one", "two", "three")
    proxy.lose = proxy.double = 0.01
    with trial.writing(batch=10, pause=0.01):
        until(lambda: trial.ledger.count >= 3000, 30)
    proxy.lose = proxy.double = 0.0
    repairs = sum(edge.metric('comet_repairs_total{result="repaired"}') for edge in trial.cluster.edges)
    summary = trial.finish()
    at = [len(proxy.holes) * turn // ROUNDS for turn in range(ROUNDS + 1)]
    delays = [repair_delays(trial, proxy.holes[begin:end]) for begin, end in pairwise(at)]
    p50, p99 = [sorted(each[len(each) * percent // 100] for each in delays)[ROUNDS // 2] for percent in (50, 99)]

    note(record_property, summary, lost=proxy.lost, doubled=proxy.doubled, repairs=repairs, p50=p50, p99=p99)
    assert min(proxy.lost, proxy.doubled) > 10
    assert repairs > 10
    assert (summary.drops, summary.resets) == (0, 0)
    assert p99 <= REPAIRED


def repair_delays(trial: Trial, holes: Sequence[Hole]) -> list[float]:
    """Return, sorted, how long after the next message of its channel each client got a message that its edge lost.

    Clients of the other edge had it before, for that edge had not lost it.
    """
    came = [{entry.seq: entry.at for entry in one.log.entries if entry.kind == "data"} for one in trial.followers]
    delays = [at[hole.seq] - hole.shown_at for hole in holes for at in came if hole.seq in at]
    return sorted(delay for delay in delays if delay > 0)


def test_the_last_message_is_lost(start: StartTrial, valkey: Valkey, proxy: Proxy, record_property: Record) -> None:
    """When no other message follows the one that was lost, the audit finds it."""
    trial = start(valkey=valkey, edge_redis=proxy.url)
    trial.follow("room")
    proxy.lose = 1.0
    trial.publish("room", "lost")
    until(lambda: proxy.lost >= len(trial.cluster.edges))  # more, if a join frame was still on its way
    proxy.lose = 0.0
    began = time.monotonic()
    until(lambda: all(one.messages == ["lost"] for one in trial.followers))
    found = time.monotonic() - began
    summary = trial.finish()

    note(record_property, summary, found_after=found)
    assert (summary.drops, summary.resets) == (0, 0)
