"""compose.yaml on a real engine: started cold, scaled, broken, and rolled while thousands listen.

The tests build on one another, in this order: an engine is dear.
"""

import http.client
import json
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.cluster.clients import StreamClient, exchange, get
from tests.cluster.processes import ROOT
from tests.cluster.waiting import until
from tests.docker.audience import PacedWriter, audience
from tests.docker.conftest import DRAIN
from tests.docker.daemon import Engine, client, run
from tests.docker.stack import ADMIN_PORTS, Stack
from tests.faults.checker import END, Checker, Ledger
from tests.faults.numbers import Record, note
from tests.faults.trial import Trial
from tests.faults.writer import Posting

pytestmark = [pytest.mark.system, pytest.mark.timeout(900)]

COLD = 90  # seconds that the start of everything may take, once the image is built
LB_PORT = 8080
CHANNELS = 600  # each with a stream, an EventSource and a WebSocket, some with polls
AUDIENCE = {"stream": 600, "sse": 600, "ws": 600, "poll": 100, "jsonp": 100}
HELD = 1800  # of them are not polls
PER_SECOND = 1000  # messages
WRITERS, BATCH = 2, 20
STARTING = 30.0  # seconds; a deadline
MOST_BYTES = 100_000_000  # on top of the base image
TO_SPARE = 5  # seconds after its drain within which an edge must be gone


@pytest.fixture(scope="module")
def build_seconds(stack: Stack) -> float:
    """Build the image, most of which is the work of a C compiler; return the seconds it took."""
    began = time.monotonic()
    stack("build")
    return time.monotonic() - began


@pytest.fixture(scope="module")
def cold_start(stack: Stack, build_seconds: float) -> float:
    """Start everything for the first time; return the seconds it took."""
    assert build_seconds
    began = time.monotonic()
    stack.up("--build")
    return time.monotonic() - began


@pytest.fixture
def running(cold_start: float, stack: Stack) -> Stack:
    """Return the stack while it runs."""
    assert cold_start
    return stack


@pytest.fixture
def trial(running: Stack) -> Iterator[Trial]:
    """Return clients and publishers that use the stack through its doors."""
    with Trial(running.doors) as trial:  # type: ignore[arg-type]  # all that it needs of a cluster
        yield trial


def test_it_starts_cold_in_time(
    build_seconds: float, cold_start: float, running: Stack, record_property: Record
) -> None:
    """`docker compose up --wait` has everything ready within 90 seconds, once `docker compose build` has ended."""
    note(record_property, build=build_seconds, seconds=cold_start)
    assert cold_start < COLD
    assert running.are_ready("edge", 2)
    assert running.are_ready("publisher", 1)


def test_a_message_goes_through(running: Stack) -> None:
    """A client that subscribes through the load balancer receives what is published on loopback."""
    with StreamClient(running.doors.lb.port, "hello") as client:
        answer = get(running.doors.publisher.port, "/pub", id="hello", content="hi")

        assert answer.text == "ok\n"
        assert client.receive() == "hi"


def test_the_demo_page_has_something_to_show(running: Stack) -> None:
    """Through the one public port come the page, where its edges are, and a message of the ticker every second."""
    port = running.doors.lb.port

    assert "<title>" in get(port, "/").text
    where = f"http://127.0.0.1:{running.doors.publisher.port}"
    assert get(port, "/demo/config.json").json == {"edges": ["/"], "publisher": where}
    with StreamClient(port, "demo") as client:
        assert client.receive().startswith("It is ")


HIDDEN = ["/pub?id=a&content=b", "/admin", "/broadcast", "/close", "/info", "/check", "/metrics", "/healthz", "/drain"]
DETOURS = ["//pub", "/demo/../admin", "/static/..%2fpub", "/static/../pub", "/demo/%2e%2e/pub", "/./pub", "/PUB"]


@pytest.mark.parametrize("path", HIDDEN + DETOURS)
def test_the_publisher_is_not_public(running: Stack, path: str) -> None:
    """What only backends may do cannot be asked of the load balancer, by no detour."""
    answer, _ = exchange(running.doors.lb.port, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())

    assert answer.status == 404
    assert "this is not a public path" in answer.text


def test_the_image_is_as_said(running: Stack, docker: Engine, record_property: Record) -> None:
    """One image runs all, as nobody, cannot write anywhere, and is small."""
    name = running.containers("edge")[0].id
    image = docker("inspect", "--format={{.Image}}", name).strip()

    assert docker("inspect", "--format={{.Image}}", running.containers("publisher")[0].id).strip() == image
    assert docker("run", "--rm", "--read-only", image, "--version").startswith("comet-cluster ")
    assert docker("exec", name, "id", "-u").strip() != "0"
    for path in ("/opt/comet/x", "/tmp/x", "/x"):
        assert docker("exec", name, "sh", "-c", f"touch {path} || echo refused").strip() == "refused"
    health = json.loads(docker("inspect", "--format={{json .Config.Healthcheck}}", image))
    assert health["Test"] == ["CMD", "comet", "health"]
    assert 0 < health["Interval"] <= 10e9
    assert docker("exec", name, *health["Test"][1:]).startswith("edge on 127.0.0.1:9080 answers /healthz with 200 ")
    layers = [int(size) for size in docker("history", "--human=false", "--format={{.Size}}", image).split()]
    note(record_property, megabytes=sum(layers[:-1]) / 1e6)
    assert sum(layers[:-1]) < MOST_BYTES


WHICH_BUILD = "from common import names; from common.service import version; print(version.our_build(), names.__file__)"


def test_the_image_has_the_compiled_build_and_no_compiler(running: Stack, docker: Engine) -> None:
    """Edges and publishers say so in their first log line; what compiled them stayed in another stage."""
    for service in ("edge", "publisher"):
        container = running.containers(service)[0]
        assert docker("exec", container.id, "python", "-c", WHICH_BUILD).startswith("compiled /opt/comet/")
        assert 'build="compiled"' in container.ask(ADMIN_PORTS[service], "/metrics")
        assert '"build": "compiled", "event": "started"' in running("logs", "--no-color", service)
    tools = "command -v cc gcc c++ mypyc || echo none; find / -xdev -name cc1 -o -xdev -name mypyc 2>/dev/null; true"
    assert docker("exec", running.containers("edge")[0].id, "sh", "-c", tools).split() == ["none"]
    edges = get(running.doors.publisher.port, "/info").json["edges"]
    assert [edge["build"] for edge in edges] == ["compiled"] * 2


def test_the_classic_builder_can_build_it(running: Stack, docker: Engine) -> None:
    """Docker 20.10 without BuildKit makes an image that works, too; here the pure build, which needs no compiler."""
    assert running
    classic = docker.environment | {"DOCKER_BUILDKIT": "0"}
    run([client(), "build", "--quiet", "--build-arg=HOT_PATHS=pure", "--tag=comet-classic", str(ROOT)], classic)
    assert docker("run", "--rm", "comet-classic", "--version").startswith("comet-cluster ")
    which = docker("run", "--rm", "--entrypoint=python", "comet-classic", "-c", WHICH_BUILD)
    assert which.startswith("pure /opt/comet/")


def test_the_broker_is_set_up_for_this(running: Stack, docker: Engine) -> None:
    """It keeps what it has acknowledged over a restart, evicts nothing, and bears edges that are behind."""
    valkey = running.containers("valkey")[0].id
    wanted = {
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory": str(256 * 2**20),
        "maxmemory-policy": "noeviction",
        "client-output-buffer-limit": "normal 0 0 0 slave 268435456 67108864 60 pubsub 67108864 16777216 60",
    }
    told = docker("exec", valkey, "valkey-cli", "config", "get", *wanted).split("\n")
    assert dict(zip(told[::2], told[1::2], strict=False)) == wanted
    until(lambda: running.healthy(running.containers("valkey")[0]))


def test_the_number_of_edges_can_be_changed(running: Stack) -> None:
    """After `up --scale edge=5` newcomers go to the new edges without a reload; with 4, one says goodbye and goes."""
    running("up", "--detach", "--no-recreate", "--scale", "edge=5", "edge")
    until(lambda: running.are_ready("edge", 5), STARTING)

    with ExitStack() as stack:
        clients: list[StreamClient] = []

        def every_edge_has_one() -> bool:
            clients.append(stack.enter_context(StreamClient(running.doors.lb.port, "scaled")))
            return all(running.connections(one) for one in running.containers("edge"))

        until(every_edge_has_one, STARTING)
        running("up", "--detach", "--no-recreate", "--scale", "edge=4", "edge")
        sent_away = [client for client in clients if client.answered]
        assert sent_away
        assert {client.next_object()["type"] for client in sent_away} == {"close"}
    until(lambda: running.are_ready("edge", 4), STARTING)


def test_an_edge_that_dies_takes_nothing_along(running: Stack, trial: Trial, record_property: Record) -> None:
    """`kill -9` of an edge: its clients go on elsewhere, nothing lost, nothing twice; Docker restarts the edge."""
    trial.follow("one", "two")
    victim = max(running.containers("edge"), key=running.connections)
    with trial.writing():
        until(lambda: trial.ledger.count > 200, STARTING)
        victim.kill()
        at = trial.ledger.count
        until(lambda: trial.ledger.count > at + 200, STARTING)
    summary = trial.finish()

    note(record_property, summary)
    assert summary.drops
    assert summary.resets == 0
    until(lambda: running.are_ready("edge", 4), STARTING)


@pytest.mark.parametrize("how", ["killed", "restarted"])
def test_the_broker_ends(running: Stack, trial: Trial, docker: Engine, record_property: Record, how: str) -> None:
    """No client is disconnected and there is no silent hole; after an orderly restart there is no reset either."""
    trial.follow("three", "four")
    with trial.writing():
        until(lambda: trial.ledger.count > 200, STARTING)
        valkey = running.containers("valkey")[0]
        if how == "killed":
            valkey.kill()
        else:
            docker("restart", valkey.id)
        until(lambda: trial.writers[0].refused)
        at = trial.ledger.count
        until(lambda: trial.ledger.count > at + 200, STARTING)
    summary = trial.finish()

    note(record_property, summary)
    assert summary.drops == 0
    assert how == "killed" or summary.resets == 0
    until(lambda: running.are_ready("edge", 4) and running.are_ready("publisher", 1), STARTING)


def test_all_edges_are_replaced_under_load(running: Stack, tmp_path: Path, record_property: Record) -> None:
    """1,000 messages a second, 2,000 subscribers, every edge replaced: nothing lost, nothing twice, none cut off."""
    ledger, channels = Ledger(), [f"room-{number}" for number in range(CHANNELS)]
    port, arrays = running.doors.publisher.port, PER_SECOND / BATCH / WRITERS
    writers = [PacedWriter(port, channels, ledger, batch=BATCH, per_second=arrays) for _ in range(WRITERS)]
    before = {one.id for one in running.containers("edge")}
    lb = running.containers("lb")[0].address  # past docker-proxy, which costs as much as an edge
    with audience(tmp_path, lb, LB_PORT, CHANNELS, **AUDIENCE) as crowd:
        attaching = crowd.wait_attached()
        for writer in writers:
            writer.start()
        began = time.monotonic()
        ended = running.roll_edges()
        rolling = time.monotonic() - began
        rate = ledger.count / rolling
        for writer in writers:
            writer.over.set()
            writer.join()
        end_channels(port, channels, ledger)
        finishing = crowd.wait_finished()
    account = crowd.account()

    deliveries = sum(entry.kind == "data" for log in account.logs for entry in log.entries)
    note(record_property, attaching=attaching, rolling=rolling, finishing=finishing, published_per_second=rate)
    note(record_property, deliveries=deliveries, notified=account.notified, slowest=max(one.seconds for one in ended))
    note(record_property, refused_publishes=sum(len(writer.refused) for writer in writers))
    assert [writer.error for writer in writers] == [None] * WRITERS
    assert Checker(ledger).check(account.logs) == []
    assert not [log.client for log in account.logs if any(entry.kind == "reset" for entry in log.entries)]
    assert account.cut == []
    assert not account.refused
    assert account.notified >= HELD  # every held client was moved once, at least
    assert not before & {one.id for one in running.containers("edge")}
    assert {one.code for one in ended} == {0}
    assert max(one.seconds for one in ended) <= DRAIN + TO_SPARE
    if rate < 0.9 * PER_SECOND:
        pytest.skip(f"all of it held, but only at {rate:.0f} messages/s: this machine is too slow, or busy otherwise")


def end_channels(port: int, channels: Sequence[str], ledger: Ledger) -> None:
    """Publish the last message of every channel."""
    with closing(Posting(port)) as post:
        messages = [{"id": channel, "content": f"{END}{channel}"} for channel in channels]
        ledger.tried.update(message["content"] for message in messages)
        results = until(lambda: post(messages))
    for message, result in zip(messages, results, strict=True):
        ledger.acknowledge(message["id"], result["seq"], message["content"])


def test_the_benchmark_runs(running: Stack) -> None:
    """`--profile bench run` puts its load on the stack from inside, and everything comes."""
    load = ("--subscribers", "50", "--channels", "10", "--rate", "20", "--seconds", "2")
    told = running("--profile", "bench", "run", "--rm", "bench", *load)
    assert "50 subscribers on 10 channels attached" in told
    assert re.search(r"^(\d+) of \1 deliveries came", told, re.MULTILINE)


def test_prometheus_finds_every_process(running: Stack) -> None:
    """Prometheus of `--profile observability`, as hardened as the rest, scrapes all edges, publisher and HAProxy."""
    running("--profile", "observability", "up", "--detach", "--no-deps", "prometheus")
    expected = {"comet-edge": len(running.containers("edge")), "comet-publisher": 1, "comet-lb": 1}
    until(lambda: scraped(running.prometheus.port) == expected, STARTING)
    assert get(running.prometheus.port, "/api/v1/rules").json["data"]["groups"]


def scraped(port: int) -> dict[str, int] | None:
    """Return how many processes of each job Prometheus could scrape; None while it does not answer."""
    try:
        answer = get(port, "/api/v1/query", query="count by (job) (up == 1)")
    except (OSError, http.client.HTTPException):
        return None
    found = answer.json["data"]["result"] if answer.status == 200 else []
    return {one["metric"]["job"]: int(one["value"][1]) for one in found}


def test_nginx_in_the_place_of_haproxy(running: Stack, docker: Engine) -> None:
    """The override replaces the load balancer alone; edges that have all just failed are asked again at once."""
    running.with_nginx("up", "--detach", "--no-deps", "--wait", "lb")
    port = running.doors.lb.port
    with StreamClient(port, "hello") as client:
        assert get(running.doors.publisher.port, "/pub", id="hello", content="hi").text == "ok\n"
        assert client.receive() == "hi"
    assert get(port, "/pub", id="a", content="b").status == 404
    assert "<title>" in get(port, "/chat").text
    edges = running.containers("edge")
    docker("restart", "--time=0", *(edge.id for edge in edges))
    until(lambda: running.are_ready("edge", len(edges)), STARTING)
    statuses = [get(port, "/poll", id="hello", timeout="0").status for _ in range(20)]
    assert statuses == [200] * 20
    up = 'count by (job) (up{job=~"comet-.*"} == 0)'
    until(lambda: get(running.prometheus.port, "/api/v1/query", query=up).json["data"]["result"] == [], STARTING)
