"""The hub and its recovery against a Redis that loses, repeats, forgets and goes back in time (I1-I9)."""

import random
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from edge.channel_log import State
from edge.framing.base import Framing
from tests.edge.model.client import EVENTS, POLL, STREAM, ModelClient
from tests.edge.model.edge import ModelEdge
from tests.edge.model.redis import ModelRedis
from tests.pure_only import pure_only

pytestmark = pure_only  # its seats have no sockets

CHANNELS = ("a", "b")


@pytest.fixture(autouse=True)
def _short_ring(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep so little in the edge's memory that subscribers often need the log."""
    monkeypatch.setattr("edge.chain.MAX_RING_MESSAGES", 2)


@pytest.fixture(autouse=True)
def _thin_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write to one seat per turn, so that everything can happen in the middle of a broadcast."""
    monkeypatch.setattr("edge.engine.fanout.TURN_BUDGET", 0)
    monkeypatch.setattr("edge.engine.fanout.SEATS_PER_STEP", 1)


@pytest.fixture(autouse=True)
def _plain_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """An event source whose channels change gets another framing: here the same."""
    monkeypatch.setattr("edge.subscribers.changes.framing_for", lambda transport, variant: EVENTS)


INTERESTS = (("a",), ("b",), ("a", "b"))
FRAMINGS = (STREAM, EVENTS, POLL)


class ModelCluster:
    """Two edges, one Redis, and clients that wander between the edges."""

    def __init__(self, history: int = 20) -> None:
        self.redis = ModelRedis(history)
        self.edges = [ModelEdge(self.redis), ModelEdge(self.redis)]
        self.clients: list[ModelClient] = []
        self.kept = self.redis.snapshot()
        self.published = 0
        for edge in self.edges:
            edge.connect()

    def publish(self, name: str, times: int = 1) -> None:
        for _ in range(times):
            self.published += 1
            self.redis.publish(name, b"%d" % self.published)

    def arrive(self, edge: int, channels: tuple[str, ...], framing: Framing) -> None:
        client = ModelClient(self.redis, channels, framing)
        self.clients.append(client)
        self.edges[edge].attach(client)

    def move(self, client: int, edge: int) -> None:
        """Let a client come back, here or on the other edge, from the position it has."""
        one = self.clients[client % len(self.clients)] if self.clients else None
        if one is not None:
            if one.edge is not None:
                one.edge.detach(one)
            self.edges[edge].attach(one)

    def leave(self, client: int) -> None:
        one = self.clients[client % len(self.clients)] if self.clients else None
        if one is not None and one.edge is not None:
            one.edge.detach(one)

    def poll_again(self, client: int) -> None:
        """Let a client whose poll was answered ask for more, on the same connection."""
        one = self.clients[client % len(self.clients)] if self.clients else None
        seat, edge = (one.seat, one.edge) if one is not None and one.polls else (None, None)
        if one and edge and seat and seat.framing is None and seat.pending is None:
            edge.attach(one)

    def change(self, client: int, op: str, name: str, *, from_where_it_left: bool) -> None:
        """Let a client change its channels where it sits."""
        one = self.clients[client % len(self.clients)] if self.clients else None
        if one is not None and one.edge is not None:
            one.edge.change(one, op, name, from_where_it_left=from_where_it_left)

    def time_out(self, client: int) -> None:
        one = self.clients[client % len(self.clients)] if self.clients else None
        if one is not None and one.edge is not None:
            one.edge.time_out(one)

    def stop_reading(self, client: int) -> None:
        """Let a client read nothing until `read_on`: what is written to it is parked."""
        one = self.clients[client % len(self.clients)] if self.clients else None
        if one is not None and one.edge is not None:
            one.edge.stop_reading(one)

    def read_on(self) -> None:
        """Let all clients take what is parked for them."""
        for one in self.clients:
            if one.edge is not None:
                one.edge.read_on(one)

    def settle(self) -> None:
        """Let everything that is under way arrive, with the network whole again."""
        self.read_on()
        for edge in self.edges:
            edge.connect()
        for _ in range(90):
            for edge in self.edges:
                edge.deliver(10_000)
                for _ in range(10):
                    edge.pass_turn()
                edge.execute_reads()
                edge.answer_reads()
                edge.audit()
            for index in range(len(self.clients)):
                self.poll_again(index)

    def check_no_client_is_behind(self) -> None:
        """Every connected client stands at the top of the log: it was given all, or told of a reset (I5)."""
        for client in self.clients:
            if client.edge is not None:
                assert client.is_whole
                assert not client.asked
                for name in client.channels:
                    assert client.at[name] == self.redis.top(name)

    def check_subscriptions(self) -> None:
        """An edge is subscribed to exactly the channels it has (I9)."""
        for edge in self.edges:
            if edge.connection is not None:
                subscribed = {
                    name for name, connections in self.redis.subscribers.items() if edge.connection in connections
                }
                assert subscribed == set(edge.hub.channels)


class HubMachine(RuleBasedStateMachine):
    """Hypothesis looks for the shortest story in which a client is left with a hole."""

    @initialize()
    def begin(self) -> None:
        self.cluster = ModelCluster()

    @rule(name=st.sampled_from(CHANNELS), times=st.integers(1, 4))
    def publish(self, name: str, times: int) -> None:
        self.cluster.publish(name, times)

    @rule(name=st.sampled_from(CHANNELS))
    def publish_more_than_is_kept(self, name: str) -> None:
        self.cluster.publish(name, 30)

    @rule(edge=st.integers(0, 1), channels=st.sampled_from(INTERESTS), framing=st.sampled_from(FRAMINGS))
    def arrive(self, edge: int, channels: tuple[str, ...], framing: Framing) -> None:
        self.cluster.arrive(edge, channels, framing)

    @rule(
        client=st.integers(0, 9),
        op=st.sampled_from(["sub", "unsub"]),
        name=st.sampled_from(CHANNELS),
        from_where_it_left=st.booleans(),
    )
    def change(self, client: int, op: str, name: str, from_where_it_left: bool) -> None:
        self.cluster.change(client, op, name, from_where_it_left=from_where_it_left)

    @rule(edge=st.integers(0, 1))
    def pass_time(self, edge: int) -> None:
        self.cluster.edges[edge].pass_time()

    @rule(client=st.integers(0, 9), edge=st.integers(0, 1))
    def move(self, client: int, edge: int) -> None:
        self.cluster.move(client, edge)

    @rule(client=st.integers(0, 9))
    def leave(self, client: int) -> None:
        self.cluster.leave(client)

    @rule(edge=st.integers(0, 1), most=st.integers(1, 6), fault=st.sampled_from(["", "", "", "lose", "repeat"]))
    def deliver(self, edge: int, most: int, fault: str) -> None:
        self.cluster.edges[edge].deliver(most, lose=fault == "lose", repeat=fault == "repeat")

    @rule(edge=st.integers(0, 1))
    def execute_reads(self, edge: int) -> None:
        self.cluster.edges[edge].execute_reads()

    @rule(edge=st.integers(0, 1))
    def answer_reads(self, edge: int) -> None:
        self.cluster.edges[edge].answer_reads()

    @rule(edge=st.integers(0, 1))
    def disconnect(self, edge: int) -> None:
        self.cluster.edges[edge].disconnect()

    @rule(edge=st.integers(0, 1))
    def connect(self, edge: int) -> None:
        self.cluster.edges[edge].connect()

    @rule(edge=st.integers(0, 1), name=st.sampled_from(CHANNELS), attempt=st.integers(0, 3))
    def acknowledge_an_old_attempt(self, edge: int, name: str, attempt: int) -> None:
        hub = self.cluster.edges[edge].hub
        channel = hub.channels.get(name)
        if channel is not None and channel.attempt != attempt:
            hub.on_subscribed(b"comet:" + name.encode(), attempt)

    @rule()
    def wipe(self) -> None:
        self.cluster.redis.wipe()

    @rule()
    def keep_a_snapshot(self) -> None:
        self.cluster.kept = self.cluster.redis.snapshot()

    @rule()
    def restore_the_snapshot(self) -> None:
        self.cluster.redis.restore(self.cluster.kept)

    @rule(edge=st.integers(0, 1))
    def pass_turn(self, edge: int) -> None:
        self.cluster.edges[edge].pass_turn()

    @rule(client=st.integers(0, 9))
    def poll_again(self, client: int) -> None:
        self.cluster.poll_again(client)

    @rule(client=st.integers(0, 9))
    def time_out(self, client: int) -> None:
        self.cluster.time_out(client)

    @rule(client=st.integers(0, 9))
    def stop_reading(self, client: int) -> None:
        self.cluster.stop_reading(client)

    @rule()
    def read_on(self) -> None:
        self.cluster.read_on()

    @rule(edge=st.integers(0, 1))
    def audit(self, edge: int) -> None:
        self.cluster.edges[edge].audit()

    @invariant()
    def live_channels_hold_nothing_back(self) -> None:
        for edge in self.cluster.edges if hasattr(self, "cluster") else ():
            for channel in edge.hub.channels.values():
                assert channel.state is not State.LIVE or channel.buffer is None

    def teardown(self) -> None:
        if hasattr(self, "cluster"):
            self.cluster.settle()
            self.cluster.check_no_client_is_behind()
            self.cluster.check_subscriptions()


HubMachine.TestCase.settings = settings(
    max_examples=150, stateful_step_count=60, deadline=None, suppress_health_check=list(HealthCheck)
)
TestHubMachine = HubMachine.TestCase


def step(cluster: ModelCluster, chance: random.Random, *, disasters: bool) -> None:
    """Do one random thing; faults are rare, so that the stories between them are long."""
    edge, name, rare = chance.randrange(2), chance.choice(CHANNELS), 1 if disasters else 0
    one: Any = cluster.edges[edge]
    newcomers = 0.5 if len(cluster.clients) < 12 else 0
    doings: list[tuple[float, Any]] = [
        (6, lambda: cluster.publish(name, chance.randint(1, 3))),
        (newcomers, lambda: cluster.arrive(edge, chance.choice(INTERESTS), chance.choice(FRAMINGS))),
        (3, lambda: cluster.move(chance.randrange(12), edge)),
        (1, lambda: cluster.leave(chance.randrange(12))),
        (3, lambda: cluster.change(chance.randrange(12), "sub", name, from_where_it_left=chance.random() < 0.5)),
        (2, lambda: cluster.change(chance.randrange(12), "unsub", name, from_where_it_left=False)),
        (0.1, one.pass_time),
        (8, lambda: one.deliver(chance.randint(1, 8))),
        (0.5, lambda: one.deliver(1, lose=True)),
        (0.5, lambda: one.deliver(2, repeat=True)),
        (4, one.execute_reads),
        (4, one.answer_reads),
        (0.3, one.disconnect),
        (1, one.connect),
        (0.5, one.audit),
        (8, one.pass_turn),
        (4, lambda: cluster.poll_again(chance.randrange(12))),
        (1, lambda: cluster.stop_reading(chance.randrange(12))),
        (0.7, cluster.read_on),
        (0.5, lambda: cluster.time_out(chance.randrange(12))),
        (0.2 * rare, lambda: cluster.publish(name, 30)),
        (0.05 * rare, cluster.redis.wipe),
        (0.2 * rare, lambda: setattr(cluster, "kept", cluster.redis.snapshot())),
        (0.1 * rare, lambda: cluster.redis.restore(cluster.kept)),
    ]
    weights, actions = zip(*doings, strict=True)
    chance.choices(actions, weights)[0]()


@pytest.mark.parametrize("seed", range(120))
def test_long_random_stories_leave_no_silent_hole(seed: int) -> None:
    """Four hundred random steps with faults: every client is whole, or was told of a reset."""
    chance, cluster = random.Random(seed), ModelCluster()
    for _ in range(400):
        step(cluster, chance, disasters=True)
    cluster.settle()
    cluster.check_no_client_is_behind()
    cluster.check_subscriptions()


@pytest.mark.parametrize("seed", range(120))
def test_no_client_is_reset_while_the_log_is_whole(seed: int) -> None:
    """Lost, late and repeated frames, reconnects, changes of edge: as long as the log holds all, no client notices."""
    chance, cluster = random.Random(seed), ModelCluster(history=10_000)
    for name in CHANNELS:
        cluster.publish(name)  # the position of a channel without messages is worth only a linger
    for _ in range(400):
        step(cluster, chance, disasters=False)
    cluster.settle()
    cluster.check_no_client_is_behind()

    assert [client.resets for client in cluster.clients] == [0] * len(cluster.clients)
