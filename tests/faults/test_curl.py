"""The walk that the whole thing was asked for, with the real curl: nothing else knows how to be a subscriber here."""

import json
import shutil
import subprocess
from typing import Any

import pytest

from tests.cluster.clients import HOST, Json
from tests.cluster.processes import Service
from tests.cluster.waiting import until
from tests.faults.conftest import StartTrial

pytestmark = pytest.mark.system

QUIET = "2"  # seconds in which a fourth message would have come


def curl(service: Service, path: str, *options: str) -> str:
    """Run curl to its end; return what it printed."""
    program = shutil.which("curl")
    assert program, "curl is not installed (Debian: apt-get install curl)"
    command = [program, "--silent", "--show-error", *options, f"http://{HOST}:{service.port}{path}"]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30).stdout


def listen(service: Service, path: str, seconds: str) -> list[Json]:
    """Let curl subscribe for so long; return the objects it printed."""
    lines = curl(service, path, "--no-buffer", "--max-time", seconds).splitlines()
    return [json.loads(line) for line in lines if line.strip()]


def test_subscribe_disconnect_publish_three_resume_elsewhere(start: StartTrial) -> None:
    """Subscribe, note `seq`, disconnect, publish three, resume on the other edge: exactly the three, and no fourth."""
    cluster = start().cluster
    (welcome,) = listen(cluster.a, "/sub?id=walk", "0.5")
    assert (welcome["type"], welcome["content"]) == ("welcome", "hello world!")

    for number in (1, 2, 3):
        curl(cluster.publisher, f"/pub?id=walk&content=message+{number}")

    first, *messages = listen(cluster.b, f"/sub?id=walk&since={welcome['seq']}", QUIET)
    assert (first["type"], first["seq"]) == ("welcome", welcome["seq"])
    assert [(item["type"], item["content"]) for item in messages] == [("data", f"message {n}") for n in (1, 2, 3)]
    assert [int(item["seq"].partition("-")[0]) for item in messages] == [1, 2, 3]


def test_the_same_by_long_poll_and_by_events(start: StartTrial) -> None:
    """A poller's three come in one answer, and then nothing more; an event source sends the last id as a header."""
    cluster = start().cluster
    seq = json.loads(curl(cluster.a, "/poll?id=walk&timeout=0"))["seq"]
    for number in (1, 2, 3):
        assert curl(cluster.publisher, f"/pub?id=walk&content={number}") == "ok\n", "a poller that was just here"
    answer: Any = until(lambda: json.loads(curl(cluster.b, f"/poll?id=walk&since={seq}")))
    assert [item["content"] for item in answer["messages"]] == ["1", "2", "3"]
    assert json.loads(curl(cluster.a, f"/poll?id=walk&since={answer['seq']}&timeout=0"))["messages"] == []

    events = curl(cluster.b, "/sse?id=walk", "--header", f"Last-Event-ID: {seq}", "--max-time", QUIET)
    lines = [line for line in events.splitlines() if line.startswith("data: ") and "welcome" not in line]
    assert lines == ["data: 1", "data: 2", "data: 3"]
