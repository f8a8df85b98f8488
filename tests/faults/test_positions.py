"""Positions: kept by clients, good on every edge, and never believed unless they can be proved."""

import json
import re
from collections.abc import Iterator
from itertools import count
from typing import NamedTuple
from urllib.parse import urlencode

import pytest
from websockets.sync.client import connect

from tests.cluster.clients import (
    HOST,
    JSONP_CALL,
    READ_DEADLINE,
    Connection,
    Json,
    SseClient,
    StreamClient,
    get,
    poll,
)
from tests.cluster.processes import Cluster
from tests.cluster.running import running
from tests.cluster.waiting import until
from tests.faults.conftest import SETTINGS, StartTrial
from tests.faults.follower import TRANSPORTS
from tests.faults.trial import Trial

pytestmark = pytest.mark.system

FUTURE = str(2**60)
SCRIPT = re.compile(r"<script>parent\.show\((.*)\)</script>")
_numbers = count(1)
MALFORMED = {
    "words": "yesterday",
    "negative": "-1-5",
    "a negative tag": "5--1",
    "no tag": "5",
    "half": "5-",
    "a float": "1.5-7",
    "another script's digits": "\u0661-\u0662",
    "spaces": " 1-1 ",
    "leading zeros": "007-1",
    "huge": f"{10**25}-{10**25}",
    "a number without a message": "5-0",
    "two for one channel": "1-1,2-2",
    "a command": "1-1\r\nXRANGE comet 0 1",
    "a megabyte's worth": "9" * 4000,
}
FORGED = {
    "the future": f"{FUTURE}-{FUTURE}",
    "the largest that is well-formed": "9" * 19 + "-" + "9" * 19,
    "a wrong tag": "2-12345",
    "an offset that was never": "77-12345",
    "an early offset, a wrong tag": "0-1",
}


class Told(NamedTuple):
    """What a subscriber was told at first: kinds and contents, and where it stands then."""

    items: list[tuple[str, str]]
    seq: str


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return a cluster that no test here breaks."""
    with running(Cluster(tmp_path_factory.mktemp("positions"), **SETTINGS)) as cluster:
        yield cluster


@pytest.fixture
def trial(cluster: Cluster) -> Trial:
    """Return a trial."""
    return Trial(cluster)


@pytest.fixture
def room(trial: Trial) -> str:
    """Return a channel of this test's own, with three messages in it."""
    name = f"room-{next(_numbers)}"
    trial.publish(name, "one", "two", "three")
    return name


def told(transport: str, port: int, channel: str, since: str, messages: int, **query: str) -> Told:
    """Subscribe with a position, if there is one, and read a welcome, where there is one, and some messages."""
    if transport == "sse":
        return _told_by_events(port, channel, messages, since=since, **query)
    query |= {"since": since} if since else {}
    if transport in {"poll", "jsonp"}:
        return _told_by_poll(transport, port, channel, **query)
    read = {"stream": _read_stream, "iframe": _read_iframe, "ws": _read_websocket}[transport]
    welcome, *got = read(port, channel, messages + 1, query)
    assert welcome["type"] == "welcome"
    return Told([(item["type"], item.get("content", "")) for item in got], got[-1]["seq"])


def _told_by_events(port: int, channel: str, messages: int, **query: str) -> Told:
    with SseClient(port, channel, **query) as sse:
        events = [sse.next_event() for _ in range(messages)]
    kinds = [event.get("event", "data") for event in events]
    contents = [event["data"] if "event" not in event else "" for event in events]
    return Told(list(zip(kinds, contents, strict=True)), events[-1]["id"])


def _told_by_poll(transport: str, port: int, channel: str, **query: str) -> Told:
    answer = get(port, f"/{transport}", id=channel, callback="f", **query)
    call = JSONP_CALL.fullmatch(answer.text)
    batch = json.loads(call[2]) if call else answer.json
    return Told([(item["type"], item.get("content", "")) for item in batch["messages"]], batch["seq"])


def _read_stream(port: int, channel: str, objects: int, query: dict[str, str]) -> list[Json]:
    with StreamClient(port, channel, **query) as stream:
        return [*stream.welcomes, *[stream.next_object() for _ in range(objects - 1)]]


def _read_iframe(port: int, channel: str, objects: int, query: dict[str, str]) -> list[Json]:
    with Connection(port) as frame:
        frame.ask("/iframe", {"id": channel, "callback": "show"} | query)
        lines, got = frame.open(), []
        while len(got) < objects:
            found = SCRIPT.search(lines.readline().decode())
            got += [json.loads(found[1])] if found else []
    return got


def _read_websocket(port: int, channel: str, objects: int, query: dict[str, str]) -> list[Json]:
    address = f"ws://{HOST}:{port}/ws?{urlencode({'id': channel} | query)}"
    with connect(address, proxy=None, open_timeout=READ_DEADLINE) as socket:
        return [json.loads(socket.recv(timeout=READ_DEADLINE)) for _ in range(objects)]


def data(*contents: str) -> list[tuple[str, str]]:
    """Return what a client that got just these messages was told."""
    return [("data", content) for content in contents]


every_transport = pytest.mark.parametrize("transport", [*TRANSPORTS, "iframe", "ws"])


@every_transport
def test_a_client_goes_on_at_the_other_edge(trial: Trial, room: str, transport: str) -> None:
    """Subscribe, note the position, leave; three are published; the other edge gives exactly these three."""
    seq = poll(trial.cluster.a.port, room, timeout="0")["seq"]
    trial.publish(room, "four", "five", "six")

    assert told(transport, trial.cluster.b.port, room, seq, 3).items == data("four", "five", "six")


@every_transport
@pytest.mark.parametrize("since", FORGED.values(), ids=FORGED.keys())
def test_a_position_that_cannot_be_proved_is_a_reset(trial: Trial, room: str, transport: str, since: str) -> None:
    """A forged position is answered by a reset, on every transport, and the client goes on from what that says."""
    first = told(transport, trial.cluster.a.port, room, since, 1)
    assert first.items == [("reset", "")]

    trial.publish(room, "after")
    assert told(transport, trial.cluster.b.port, room, first.seq, 1).items == data("after")


@every_transport
def test_a_position_of_another_channel_is_a_reset(trial: Trial, room: str, transport: str) -> None:
    """No client reads a channel by a position from another one."""
    *_, foreign = trial.publish(f"other-{room}", "a secret", "another secret", "a third secret")

    assert told(transport, trial.cluster.a.port, room, foreign, 1).items == [("reset", "")]


@pytest.mark.parametrize("since", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_position_is_bad_input(trial: Trial, room: str, since: str) -> None:
    """What no server of ours ever wrote is a 400 that says so; the edge goes on."""
    for edge in trial.cluster.edges:
        answer = get(edge.port, "/sub", id=room, since=since)
        assert answer.status == 400
        assert "since" in answer.json["content"]
        assert edge.ready


@every_transport
def test_since_zero_is_all_that_is_kept(trial: Trial, room: str, transport: str) -> None:
    """`since=0` begins with the oldest message that is kept."""
    assert told(transport, trial.cluster.b.port, room, "0", 3).items == data("one", "two", "three")


@pytest.mark.parametrize(("history", "count"), [("0", 0), ("1", 1), ("2", 2), ("3", 3), ("50", 3), ("10000", 3)])
def test_history_is_the_last_messages(trial: Trial, room: str, history: str, count: int) -> None:
    """`history=N` begins with the last N messages, or as many as there are."""
    batch = poll(trial.cluster.a.port, room, history=history, timeout="0")

    assert [item["content"] for item in batch["messages"]] == ["one", "two", "three"][3 - count :]


@every_transport
@pytest.mark.parametrize(("history", "contents"), [("2", ["two", "three"]), ("50", ["one", "two", "three"])])
def test_every_transport_begins_with_the_last_messages(
    trial: Trial, room: str, transport: str, history: str, contents: list[str]
) -> None:
    """`history=N` is the same everywhere, and its position is good to go on from."""
    got = told(transport, trial.cluster.a.port, room, "", len(contents), history=history)
    assert got.items == data(*contents)
    trial.publish(room, "four")
    assert told(transport, trial.cluster.b.port, room, got.seq, 1).items == data("four")


@every_transport
def test_what_has_expired_is_not_replayed(trial: Trial, room: str, transport: str) -> None:
    """A message's own `ttl` ends its replay on every transport, from an edge's memory and from the log; no reset."""
    (start,) = trial.publish(room, "before")
    with Connection(trial.cluster.publisher.port) as publisher, StreamClient(trial.cluster.a.port, room) as live:
        publisher.post("/pub", {"id": room, "content": "short-lived", "ttl": 0.2})
        assert live.next_object()["content"] == "short-lived"
        until(lambda: poll(trial.cluster.b.port, room, since=start, timeout="0")["messages"] == [])
        trial.publish(room, "after")
        for edge in trial.cluster.edges:
            assert told(transport, edge.port, room, start, 1).items == data("after")


@pytest.mark.parametrize("query", [{"since": "0"}, {"history": "10"}], ids=["since", "history"])
def test_history_of_a_channel_that_never_was(trial: Trial, query: dict[str, str]) -> None:
    """It is empty, and its position is good to go on from, on any edge."""
    channel = f"never-{next(_numbers)}"
    batch = poll(trial.cluster.a.port, channel, timeout="0", **query)
    assert batch["messages"] == []

    trial.publish(channel, "first")
    assert told("poll", trial.cluster.b.port, channel, batch["seq"], 1).items == data("first")


def test_a_key_that_is_used_again_gets_the_first_answer(trial: Trial, room: str) -> None:
    """A second publish with the same key and another content is not published: it is told the first one's position."""
    before = poll(trial.cluster.a.port, room, timeout="0")["seq"]
    with Connection(trial.cluster.publisher.port) as publisher:
        first, again = [
            publisher.post("/pub", {"id": room, "content": content, "key": "same"}).json["seq"]
            for content in ("four", "another four")
        ]

    assert first == again
    assert told("poll", trial.cluster.b.port, room, before, 1) == Told(data("four"), first)


def test_trimmed_history_is_a_reset(start: StartTrial) -> None:
    """A client that was away for longer than the history reaches is told so."""
    trial = start(COMET_HISTORY_SIZE="5")
    (seq,) = trial.publish("room", "first")
    trial.publish("room", *[f"message {number}" for number in range(300)])

    assert told("poll", trial.cluster.a.port, "room", seq, 1).items == [("reset", "")]


def test_expired_history_is_a_reset(start: StartTrial) -> None:
    """A client that was away for longer than the history lives is told so, and is not turned away."""
    trial = start(COMET_HISTORY_TTL="1")
    first, _ = trial.publish("room", "first", "second")
    with trial.cluster.valkey.client() as redis:
        until(lambda: not redis.exists("{comet:room}:log"))

    assert told("stream", trial.cluster.a.port, "room", first, 1).items == [("reset", "")]


@pytest.mark.parametrize(("adopt", "kept"), [("1", ["plain"]), ("0", [])], ids=["adopted", "live only"])
def test_adoption_can_be_switched_off(start: StartTrial, adopt: str, kept: list[str]) -> None:
    """With COMET_ADOPT=0 a plain PUBLISH reaches the clients that are there, has no position and is in no history."""
    trial = start(COMET_ADOPT=adopt)
    with StreamClient(trial.cluster.a.port, "room") as client:
        trial.cluster.valkey.publish("room", "plain")
        item = client.next_object()

    assert item["content"] == "plain"
    assert ("seq" in item) == bool(kept)
    batch = poll(trial.cluster.b.port, "room", since="0", timeout="0")
    assert [message["content"] for message in batch["messages"]] == kept
