"""Very many attaches, polls and plain PUBLISHes while messages flow: no hole, no repetition.

`COMET_TEST_ATTACHES=100000` makes ten times as many attaches as usual.
"""

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from itertools import pairwise
from pathlib import Path

import pytest

from tests.cluster.clients import Connection, Json, SseClient, StreamClient, get
from tests.cluster.processes import Service
from tests.cluster.waiting import until
from tests.faults.balancer import Balancer
from tests.faults.checker import Checker, Entry, Log
from tests.faults.conftest import StartTrial
from tests.faults.follower import AWAY, TRANSPORTS, from_batch, from_event, from_object
from tests.faults.numbers import Record, note
from tests.faults.trial import Trial
from tests.faults.writer import Writer

ATTACHES = int(os.environ.get("COMET_TEST_ATTACHES", "10000"))
pytestmark = [pytest.mark.system, pytest.mark.timeout(60 + ATTACHES / 50)]

CLIENTS = 6  # at once
CHANNELS = [f"room{number}" for number in range(20)]
POLLS, BURST = 1000, 10
PLAIN = 1000


def test_random_attaches_during_a_publish_storm(start: StartTrial, record_property: Record) -> None:
    """Whenever a client attaches, from wherever it goes on: what it gets has no hole and no repetition."""
    trial = start(COMET_LINGER="0.3")
    ports = [edge.port for edge in trial.cluster.edges]
    with trial.writing(batch=5, pause=0.001, channels=CHANNELS):
        began = time.monotonic()
        clients = [Attacher(ports, ATTACHES // CLIENTS, seed) for seed in range(CLIENTS)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        took = time.monotonic() - began
    logs = [log for client in clients for log in client.logs]

    note(record_property, attaches=len(logs), seconds=took, published=trial.ledger.count)
    assert not [client.error for client in clients if client.error]
    assert len(logs) >= ATTACHES - CLIENTS
    assert not [log for log in logs if not any(entry.kind == "data" for entry in log.entries)]
    assert not [log for log in logs if any(entry.kind == "reset" for entry in log.entries)]
    assert not Checker(trial.ledger).check(logs, complete=False)[:10]


class Attacher(threading.Thread):
    """Attaches again and again: any transport, channel and edge, from now on or from a position it had before."""

    def __init__(self, ports: Sequence[int], attaches: int, seed: int) -> None:
        super().__init__(daemon=True)
        self.logs: list[Log] = []
        self.error: BaseException | None = None
        self._ports = ports
        self._attaches = attaches
        self._dice = random.Random(seed)
        self._seqs: dict[str, list[str]] = {channel: [] for channel in CHANNELS}

    def run(self) -> None:
        """Attach so many times; never dies silently."""
        try:
            for number in range(self._attaches):
                self._attach(number)
        except Exception as error:
            self.error = error

    def _attach(self, number: int) -> None:
        channel, port = self._dice.choice(CHANNELS), self._dice.choice(self._ports)
        since = self._dice.choice(["", *self._seqs[channel][-3:]])
        log = Log(f"attach {number} since {since!r}", channel, [Entry("welcome", seq=since)] if since else [])
        for entry in attach(self._dice.choice(TRANSPORTS), port, channel, since):
            log.entries.append(entry)
        self.logs.append(log)
        self._seqs[channel].append(log.entries[-1].seq)


def attach(transport: str, port: int, channel: str, since: str) -> Iterator[Entry]:
    """Attach once and give what comes, up to a few messages."""
    query = {"since": since} if since else {}
    if transport == "sse":
        with SseClient(port, channel, since=since) as sse:
            yield from_event(sse.welcome)
            yield from_event(sse.next_event())
    elif transport == "stream":
        with StreamClient(port, channel, **query) as stream:
            yield from_object(stream.welcomes[0])
            yield from_object(stream.next_object())
            yield from_object(stream.next_object())
    else:
        yield from from_batch(get(port, "/poll", id=channel, **query).json)


def test_recovery_of_a_hundred_messages(start: StartTrial, record_property: Record) -> None:
    """Who missed a hundred messages has them within 50 ms in 99 of 100 cases."""
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
        """Poll until so many messages have come."""
        while len(self.contents) < messages:
            self.poll()

    def _take(self, batch: Json) -> None:
        self.polls += 1
        self._query["since"] = batch["seq"]
        self.contents += [item["content"] for item in batch["messages"] if item["type"] == "data"]
        self.resets += sum(item["type"] == "reset" for item in batch["messages"])


def test_an_edge_is_told_to_end(start: StartTrial, record_property: Record) -> None:
    """SIGTERM of one edge while messages flow: its clients go on elsewhere from their positions and lose nothing."""
    trial = start()
    trial.follow("one", "two")
    with trial.writing():
        until(lambda: trial.ledger.count > 100)
        trial.cluster.a.stop()
        at = trial.ledger.count
        until(lambda: trial.ledger.count > at + 200)
    summary = trial.finish()

    note(record_property, summary)
    assert summary.drops >= 4  # the held connections of that edge
    assert summary.resets == 0
