"""Very many attaches, polls and plain PUBLISHes while messages flow: no hole, no repetition."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from itertools import pairwise
from pathlib import Path

import pytest

from tests.cluster.clients import Connection, Json, StreamClient
from tests.cluster.processes import Service
from tests.cluster.waiting import until
from tests.faults.attacher import Attacher, Places
from tests.faults.balancer import Balancer
from tests.faults.checker import Checker
from tests.faults.conftest import StartTrial
from tests.faults.follower import AWAY
from tests.faults.numbers import Record, note
from tests.faults.trial import Trial
from tests.faults.writer import Writer

ATTACHES = 100_000
pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

CLIENTS = 300  # at once
CHANNELS = [f"room{number}" for number in range(60)]
QUIET = [f"quiet{number}" for number in range(200)]  # given up between two attaches
POLLS, BURST = 1000, 10
PLAIN = 1000
DRAIN = 3.0  # seconds: half of them for load balancers to notice, a quarter for requests on their way


def test_random_attaches_during_a_publish_storm(start: StartTrial, record_property: Record) -> None:
    """Whenever a client attaches, from wherever it goes on: what it gets has no hole and no repetition."""
    trial = start(COMET_LINGER="0.3")
    ports = [edge.port for edge in trial.cluster.edges]
    places = Places(CHANNELS, QUIET)
    for channel in QUIET:  # without a message a position would be worth only as long as the channel lingers
        trial.publish(channel, f"{channel} begins")
    with trial.writing(batch=5, pause=0.001, channels=[*(10 * CHANNELS), *QUIET]):
        began = time.monotonic()
        clients = [Attacher(ports, places, 1 + ATTACHES // CLIENTS, seed) for seed in range(CLIENTS)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        took = time.monotonic() - began
    logs = [log for client in clients for log in client.logs]

    note(record_property, attaches=len(logs), seconds=took, published=trial.ledger.count)
    assert not [client.error for client in clients if client.error]
    assert len(logs) >= ATTACHES
    busy = [log for log in logs if log.channel in CHANNELS]
    assert not [log for log in busy if not any(entry.kind == "data" for entry in log.entries)]
    assert not [log for log in logs if any(entry.kind == "reset" for entry in log.entries)]
    assert not Checker(trial.ledger).check(logs, complete=False)[:10]


def test_recovery_of_a_hundred_messages(start: StartTrial, record_property: Record) -> None:
    """A client that missed a hundred messages has them within 50 ms in 99 of 100 cases."""
    trial = start()
    first, *_, last = trial.publish("room", *[f"message {number}" for number in range(101)])
    times = []
    for turn in range(200):
        port = trial.cluster.edges[turn % 2].port
        began = time.monotonic()
        with StreamClient(port, "room", since=first) as client:
            items = [client.next_object() for _ in range(100)]
        times.append(time.monotonic() - began)
        assert items[-1]["seq"] == last
    times.sort()

    note(record_property, median=times[100], p99=times[197], slowest=times[-1])
    assert times[197] <= 0.05


StartBalancer = Callable[[Sequence[Service]], Balancer]


@pytest.fixture
def start_balancer(stack: ExitStack, tmp_path: Path) -> StartBalancer:
    """Return a function that starts a load balancer in front of some edges."""

    def start_one(edges: Sequence[Service]) -> Balancer:
        balancer = Balancer([edge.port for edge in edges], tmp_path)
        stack.callback(balancer.stop)
        balancer.start()
        return balancer

    return start_one


def test_a_poller_whose_every_request_goes_elsewhere(
    start: StartTrial,
    stack: ExitStack,
    start_balancer: Callable[[Sequence[Service]], Balancer],
    record_property: Record,
) -> None:
    """A thousand polls on one connection to nginx, each passed to the other edge: ten thousand messages, in order."""
    trial = start(COMET_POLL_TIMEOUT="2")
    balancer = start_balancer(trial.cluster.edges)
    poller = stack.enter_context(closing(Poller([balancer], "room")))
    poller.poll(timeout="0")
    with trial.writing(batch=BURST, pause=0, channels=["room"]) as writer:
        keep_pace(writer, poller, trial)
    contents = list(trial.ledger.acked["room"].values())
    while len(poller.contents) < len(contents):
        poller.poll()
    requests = until(lambda: (done := balancer.requests())[poller.polls - 1 :] and done)  # logged after the answer
    a, b = [Counter(request.edge for request in requests)[edge.port] for edge in trial.cluster.edges]

    note(record_property, polls=poller.polls, messages=len(contents), resets=poller.resets, asked_a=a, asked_b=b)
    assert poller.polls >= POLLS
    assert len(contents) >= POLLS * BURST
    assert poller.contents == contents
    assert (poller.resets, poller.refused) == (0, 0)
    assert all(one.edge != other.edge for one, other in pairwise(requests)), "nginx did not alternate"
    assert {(request.status, request.connection) for request in requests} == {(200, requests[0].connection)}


def keep_pace(writer: Writer, poller: "Poller", trial: Trial) -> None:
    """Poll until enough was published, with at most one burst of messages for each poll."""
    while trial.ledger.count < POLLS * BURST or poller.polls < POLLS:
        writer.pause = 0.0 if trial.ledger.count < poller.polls * BURST else 0.01
        poller.poll()


def test_plain_publishes_while_edges_come_and_go(start: StartTrial, stack: ExitStack, record_property: Record) -> None:
    """A thousand plain PUBLISHes, three edges, one of them restarted: a poller of all gets each once, in order."""
    trial = start(edges="abc", COMET_POLL_TIMEOUT="1")
    poller = stack.enter_context(closing(Poller(trial.cluster.edges, "room")))
    for _ in trial.cluster.edges:
        poller.poll(timeout="0")
    contents = [f"plain {number}" for number in range(PLAIN)]
    polling = threading.Thread(target=poller.poll_until, args=(PLAIN,), daemon=True)
    polling.start()
    publish_in_bursts(trial, contents)
    polling.join(20)

    note(record_property, polls=poller.polls, messages=len(poller.contents), refused=poller.refused)
    assert poller.contents == contents
    assert poller.resets == 0


def publish_in_bursts(trial: Trial, contents: Sequence[str]) -> None:
    """Publish with bursts of up to fifty; kill the third edge after a third, and have it back after two."""
    dice, at = random.Random(5), 0
    third = trial.cluster.edges[2]
    with trial.cluster.valkey.client() as redis:
        while at < len(contents):
            burst = contents[at : at + dice.randint(1, 50)]
            pipeline = redis.pipeline(transaction=False)
            for content in burst:
                pipeline.publish("comet:room", content)
            assert 0 not in pipeline.execute()
            if third.alive and at < PLAIN // 3 <= at + len(burst):
                third.kill()
            if not third.alive and at < 2 * PLAIN // 3 <= at + len(burst):
                third.start()
                until(lambda: third.ready)
            at += len(burst)
            time.sleep(dice.uniform(0, 0.02))  # the pause between two bursts


class Poller:
    """A poller that keeps a connection to each of these servers, and asks them in turn."""

    def __init__(self, servers: Sequence[Service | Balancer], channel: str) -> None:
        self.contents: list[str] = []
        self.polls = self.resets = self.refused = 0
        self._ports = [server.port for server in servers]
        self._connections = {port: Connection(port) for port in self._ports}
        self._query = {"id": channel}
        self._turn = 0

    def close(self) -> None:
        """Close all connections."""
        for connection in self._connections.values():
            connection.close()

    def poll(self, **query: str) -> None:
        """Do one poll on the server whose turn it is; one that is not there is left out."""
        port = self._ports[self._turn % len(self._ports)]
        self._turn += 1
        try:
            self._connections[port].ask("/poll", self._query | query)
            answer = self._connections[port].answer()
        except AWAY:
            self._connections[port].close()
            self._connections[port] = Connection(port)
            self.refused += 1
            return
        if answer.status == 200:
            self._take(answer.json)
        else:
            self.refused += 1

    def poll_until(self, messages: int) -> None:
        """Poll until this number of messages has come."""
        while len(self.contents) < messages:
            self.poll()

    def _take(self, batch: Json) -> None:
        self.polls += 1
        self._query["since"] = batch["seq"]
        self.contents += [item["content"] for item in batch["messages"] if item["type"] == "data"]
        self.resets += sum(item["type"] == "reset" for item in batch["messages"])


def test_every_edge_is_restarted_under_load(start: StartTrial, record_property: Record) -> None:
    """One after the other drains and comes back: its clients are sent away politely, a few at a time.

    They go on at the other edge from their positions: no connection is cut, none is refused, and nothing is lost.
    """
    trial = start(COMET_DRAIN_SECONDS=str(DRAIN))
    trial.follow("one", "two", "three")
    with trial.writing():
        for edge in trial.cluster.edges:
            at = trial.ledger.count
            until(lambda at=at: trial.ledger.count > at + 100)
            edge.stop()
            edge.start()
            until(lambda edge=edge: edge.ready, 15)
    ends = [end for follower in trial.followers for end in follower.ends]
    spreads = [spread([end.at for end in ends if end.port == edge.port]) for edge in trial.cluster.edges]
    summary = trial.finish()
    for service in trial.cluster.services:
        service.kill()  # without another drain

    note(record_property, summary, spread_a=spreads[0], spread_b=spreads[1])
    assert {end.kind for end in ends} <= {"EOFError", "ConnectionRefusedError"}, "not sent away, but cut off"
    assert min(spreads) >= DRAIN / 10
    assert summary.drops >= 2 * 3 * 2  # the held connections of each edge
    assert (summary.resets, summary.refused_polls) == (0, 0)


def spread(times: Sequence[float]) -> float:
    """Return how many seconds lie between the first and the last."""
    return max(times) - min(times)
