"""History is read in pieces: whoever reads a lot of it costs an edge little, and nobody else waits for that."""

import json
import re
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from comet.guard import guarded
from tests.cluster.bystander import watching
from tests.cluster.clients import Connection, SseClient, StreamClient
from tests.cluster.processes import HOST, ROOT, Cluster, Service
from tests.cluster.running import running
from tests.cluster.waiting import until
from tests.faults.numbers import Record

pytestmark = pytest.mark.system

MB = 1_048_576
MANY = [f"room-{number}" for number in range(20)]
COUNT = 100
LARGE = "x" * 60_000
SECONDS = 10.0
OBJECT = re.compile(rb'{"type":"data"[^}]*}')


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Yield a cluster with the default limits, and 20 channels of 6 MB."""
    with running(Cluster(tmp_path_factory.mktemp("cluster"), edges="a")) as cluster:
        for channel in MANY:
            publish(cluster, channel, [LARGE] * COUNT)
        yield cluster


def resident_bytes(service: Service) -> int:
    """Return how much memory a process has; Linux only."""
    assert service._process is not None
    return int(Path(f"/proc/{service._process.pid}/statm").read_text().split()[1]) * 4096


def publish(cluster: Cluster, channel: str, contents: list[str]) -> None:
    """Publish some messages."""
    with Connection(cluster.publisher.port) as backend:
        for content in contents:
            assert backend.post("/pub", {"id": channel, "content": content}).status == 200


def reads(cluster: Cluster) -> float:
    """Return how many replays were read from Redis."""
    return cluster.a.metric('comet_replay_total{result="read"}')


@pytest.mark.parametrize("transport", ["stream", "poll"])
def test_eight_readers_of_120_mb_disturb_nobody(cluster: Cluster, record_property: Record, transport: str) -> None:
    """The edge's memory stays within a bound, polls of others are quick, and new channels are joined at once."""
    before = resident_bytes(cluster.a)
    arguments = [transport, cluster.a.port, SECONDS, 8, len(MANY) * COUNT, *MANY]
    command = guarded(sys.executable, "-m", "tests.faults.replay_readers", *map(str, arguments))
    cluster.a.forget_peak()
    with (
        watching(cluster.a) as bystander,
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as readers,
    ):
        result = json.loads(readers.communicate(timeout=SECONDS + 20)[0].splitlines()[-1])
    bystander.note(record_property)
    assert result["whole"] >= 1
    assert (result["refused"], result["early"], result["resets"]) == (0, 0, 0)
    assert cluster.a.peak_memory - before < 128 * MB
    bystander.assert_undisturbed()


@pytest.mark.parametrize("transport", ["sse", "stream", "poll"])
def test_128_channels_of_small_messages_are_read_in_steps(cluster: Cluster, transport: str) -> None:
    """All messages arrive once, in order, while polls of others are answered; the edge needs no memory for it."""
    channels = [f"small-{number}" for number in range(128)]
    if transport == "sse":
        for channel in channels:
            publish(cluster, channel, [str(number % 10) for number in range(COUNT)])
    before = resident_bytes(cluster.a)
    target = f"/{transport}?" + urlencode([("since", "0"), *(("id", name) for name in channels)])
    got: dict[str, list[str]] = {name: [] for name in channels}
    with socket.create_connection((HOST, cluster.a.port), 8) as raw:
        raw.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        rest = b""
        while sum(map(len, got.values())) < len(channels) * COUNT:
            data = raw.recv(MB)
            assert data
            whole, end, rest = (rest + data).rpartition(b"}")
            for found in OBJECT.finditer(whole + end):
                item = json.loads(found[0])
                got[item["id"]].append(item["content"])
    assert set(map(tuple, got.values())) == {tuple(str(number % 10) for number in range(COUNT))}
    assert resident_bytes(cluster.a) - before < 8 * MB


def test_a_poll_has_eight_megabytes_and_the_next_one_goes_on(cluster: Cluster) -> None:
    """Over all of its channels; each message comes once."""
    since, sizes, got = "0", [], 0
    while got < 3 * COUNT:
        batch = _poll(cluster, MANY[:3], since)
        messages = batch["messages"]
        assert {message["type"] for message in messages} == {"data"}
        sizes.append(sum(len(message["content"]) for message in messages))
        since, got = batch["seq"], got + len(messages)
    assert got == 3 * COUNT
    assert len(sizes) == 3
    assert max(sizes) < 8 * MB + 400_000


def _poll(cluster: Cluster, channels: list[str], since: str) -> dict[str, list[dict[str, str]]]:
    with Connection(cluster.a.port) as client:
        client.ask("/poll", [("since", since), *(("id", name) for name in channels)])
        return client.answer().json


def test_a_reader_that_stops_costs_a_piece(cluster: Cluster) -> None:
    """Twenty that read nothing of 120 MB each have a piece parked at most, and are evicted as any slow reader."""
    target = "/stream?" + urlencode([("since", "0"), *(("id", name) for name in MANY)])
    before, parked = resident_bytes(cluster.a), 0.0
    stopped = [socket.socket() for _ in range(20)]
    for one in stopped:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.connect((HOST, cluster.a.port))
        one.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    end = time.monotonic() + 4
    while time.monotonic() < end:
        parked = max(parked, cluster.a.metric("comet_parked_bytes"))
        time.sleep(0.05)
    for one in stopped:
        one.close()
    assert 0 < parked < 20 * 400_000
    assert resident_bytes(cluster.a) - before < 32 * MB


def test_a_log_that_is_trimmed_meanwhile_is_a_reset(cluster: Cluster) -> None:
    """A reader that is not quick enough is told, and goes on with live messages."""
    publish(cluster, "trimmed", [LARGE] * COUNT)
    with StreamClient(cluster.a.port, "trimmed", since="0") as reader:
        with cluster.valkey.client() as redis:
            redis.xtrim("{comet:trimmed}:log", maxlen=2, approximate=False)
        kinds = [reader.next_object()["type"]]
        while kinds[-1] == "data":
            kinds.append(reader.next_object()["type"])
        assert kinds[-1] == "reset"
        assert len(kinds) < COUNT
        publish(cluster, "trimmed", ["live"])
        assert reader.next_object()["content"] == "live"


@pytest.mark.parametrize("transport", ["sse", "stream"])
def test_who_reconnects_in_the_middle_goes_on_there(cluster: Cluster, transport: str) -> None:
    """By the position of the last message that it has: it misses nothing and has nothing twice."""
    channel = f"middle-{transport}"
    contents = [f"{number} ".ljust(60_000, "x") for number in range(COUNT)]
    publish(cluster, channel, contents)
    got, since = [], "0"
    while len(got) < COUNT:
        if transport == "sse":
            with SseClient(cluster.a.port, channel, since=since) as sse:
                for _ in range(min(17, COUNT - len(got))):
                    event = sse.next_event()
                    got.append(event["data"])
                    since = event["id"]
        else:
            with StreamClient(cluster.a.port, channel, since=since) as stream:
                for _ in range(min(17, COUNT - len(got))):
                    item = stream.next_object()
                    got.append(item["content"])
                    since = item["seq"]
    assert got == contents


def test_five_hundred_polls_that_return_at_once_are_one_read(cluster: Cluster) -> None:
    """All have all messages; Redis is asked for them once, give or take a few that come late."""
    contents = [f"{number} ".ljust(500, "x") for number in range(COUNT)]
    publish(cluster, "returning", contents)
    since = _poll(cluster, ["returning"], "0")["messages"][29]["seq"]
    with cluster.valkey.client() as redis, selectors.DefaultSelector() as selector:
        before = _calls(redis.info("commandstats"))
        whole = {}
        for _ in range(500):
            raw = socket.create_connection((HOST, cluster.a.port), 8)
            raw.setblocking(False)
            selector.register(raw, selectors.EVENT_READ)
            whole[raw] = b""
        cluster.a.pause()  # so that it finds all requests at once
        for raw in whole:
            raw.send(f"GET /poll?id=returning&since={since} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        cluster.a.resume()
        open_ones = set(whole)
        end = time.monotonic() + 20
        while open_ones and time.monotonic() < end:
            for key, _ in selector.select(1):
                raw = key.fileobj
                assert isinstance(raw, socket.socket)
                whole[raw] += raw.recv(MB)
                if whole[raw].endswith(b"]}\n"):
                    open_ones.discard(raw)
                    selector.unregister(raw)
        after = _calls(redis.info("commandstats"))
        answers = [answer.partition(b"\r\n\r\n")[2] for answer in whole.values()]
        for raw in whole:
            raw.close()
    assert set(answers) == {answers[0]}
    assert [message["content"] for message in json.loads(answers[0])["messages"]] == contents[30:]
    until(lambda: cluster.a.metric("comet_parked_bytes") == 0)
    assert after - before < 30


def _calls(stats: dict[str, dict[str, int]]) -> int:
    return stats.get("cmdstat_evalsha", {}).get("calls", 0)
