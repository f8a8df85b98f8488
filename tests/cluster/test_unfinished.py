"""Thousands of unfinished requests and frames: memory stays within the budget and comes back, others are served."""

import resource
import time
from collections.abc import Iterator

import pytest

from bench.clients.driver import Driver, running_program
from bench.system.programs import compile_c
from tests.cluster.bystander import Bystander, until_enough, watching
from tests.cluster.processes import Cluster, Service
from tests.cluster.running import running
from tests.cluster.waiting import until
from tests.faults.numbers import Record

pytestmark = pytest.mark.system  # it takes half a minute, and more on a machine with other work

COUNT = 15_000
MORE = 10
CHURNED = 50_000
CHURN_MS = 4000
UNFINISHED_COUNT = 5000
MIB = 1_048_576
BUDGET = 4 * MIB
SLACK = MIB  # what one turn of the loop reads before room is made
KINDS = ("heads", "bodies", "frames", "pipelined")  # as bench/c/filled.c numbers them
#: Bytes that are kept of each; behind a poll that waits, one read is kept, and the rest stays in the kernel.
KEPT = {"heads": 15_000, "bodies": 15_000, "frames": 15_000, "pipelined": 8000}


@pytest.fixture(scope="module", autouse=True)
def _files() -> None:
    """Let this process open as many files as it may."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@pytest.fixture
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Return the edge of a cluster that has no other."""
    cluster = Cluster(tmp_path_factory.mktemp("cluster"), edges="a")
    with running(cluster):
        yield cluster.a


def resident(edge: Service) -> float:
    """Return the memory of the edge, in bytes."""
    return edge.metric("process_resident_memory_bytes")


@pytest.fixture
def clients(edge: Service) -> Iterator[Driver]:
    """Return clients of the edge that fill their connections."""
    with running_program(compile_c("filled"), edge.port, 60) as process:
        yield Driver(process)


def flood(clients: Driver, kind: str, bystander: Bystander) -> int:
    """Send unfinished requests, COUNT at once and then more for as long as the bystander needs; return how many."""
    opened = 0
    for rounds in until_enough(bystander.polls, bystander.joins):
        (opened,) = clients.ask(f"open {MORE if rounds else COUNT} {KINDS.index(kind)}")
        time.sleep(0.05)  # a duration: between two rounds
    return opened


@pytest.mark.parametrize("kind", KINDS)
def test_thousands_of_unfinished_requests_stay_within_the_budget(
    edge: Service, clients: Driver, record_property: Record, kind: str
) -> None:
    """225 MB are sent and 4 MiB are kept; the oldest are ended and counted, and the memory comes back."""
    base = resident(edge)
    edge.forget_peak()
    with watching(edge) as bystander:
        opened = flood(clients, kind, bystander)
        ended = 'comet_refused_total{limit="input_bytes"}'
        until(lambda: opened - (BUDGET + SLACK) / KEPT[kind] <= edge.metric(ended) <= opened)
        assert BUDGET / 2 < edge.metric("comet_input_bytes") <= BUDGET
    record_property("peak growth, MiB", round((edge.peak_memory - base) / MIB, 1))
    bystander.note(record_property)
    assert edge.peak_memory <= base + 32 * MIB
    bystander.assert_undisturbed()
    clients.ask("drop")
    until(lambda: edge.metric("comet_input_bytes") == 0)
    until(lambda: resident(edge) <= base + 16 * MIB, 15)


def test_fifty_thousand_that_are_opened_filled_and_closed_leave_nothing(
    edge: Service, clients: Driver, record_property: Record
) -> None:
    """S13: what was read goes with its descriptor, not at a deadline, and newcomers need not queue for long."""
    base, cpu = resident(edge), edge.cpu_seconds
    edge.forget_peak()
    with watching(edge) as bystander:
        for rounds in until_enough(bystander.polls, bystander.joins):
            churned, took, late = clients.ask(f"churn {CHURNED} {CHURN_MS} {KINDS.index('heads')}")
            record_property(f"round {rounds}: milliseconds, and connections that found the queue full", [took, late])
        each = (edge.cpu_seconds - cpu) / (churned * (rounds + 1))
    record_property("CPU of the edge for each, with that of the bystander, in microseconds", round(1e6 * each, 1))
    record_property("peak growth, MiB", round((edge.peak_memory - base) / MIB, 1))
    bystander.note(record_property)
    bystander.assert_undisturbed()
    assert edge.peak_memory <= base + 64 * MIB
    until(lambda: edge.metric("comet_input_bytes") == 0)
    until(lambda: resident(edge) <= base + 32 * MIB, 15)


def test_idle_partial_and_dripping_connections_are_closed_in_time(edge: Service, record_property: Record) -> None:
    """Five thousand: each is closed within the ten seconds, whatever it sends meanwhile, and others are served."""
    with watching(edge) as bystander, running_program(compile_c("unfinished"), edge.port, 60) as process:
        driver, opened = Driver(process), 0
        for _ in until_enough(bystander.polls, bystander.joins):
            (opened,) = driver.ask(f"open {UNFINISHED_COUNT}")
            closed, told, slowest = driver.ask("closed")
    record_property("slowest_ms", slowest)
    bystander.note(record_property)
    assert closed == opened
    assert told == opened * 3 // 4  # who sent nothing is told nothing
    assert slowest <= 10_000 + 1000 * max(bystander.polls)  # as late as that is this machine, not the edge
    bystander.assert_undisturbed()
