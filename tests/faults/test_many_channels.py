"""Fifty thousand channels on one edge survive a crash of Redis within seconds."""

import random
import socket
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing

import pytest

from tests.cluster.clients import HOST
from tests.cluster.processes import Process, Valkey
from tests.cluster.waiting import until
from tests.faults.conftest import AOF, StartTrial
from tests.faults.crowd import Crowd
from tests.faults.numbers import Record, note

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

CHANNELS = 50_000
SAMPLE = 1000
LIVE = 3.0  # seconds


def test_fifty_thousand_channels_are_live_again_in_time(
    start: StartTrial, stack: ExitStack, record_property: Record
) -> None:
    """Killed and restarted with AOF: 3 s after Redis serves again every channel is live; nothing is lost or doubled."""
    trial = start(valkey_options=AOF, COMET_AUDIT="10")
    names = [f"c{number}" for number in range(CHANNELS)]
    crowd = stack.enter_context(closing(Crowd(trial.cluster.a.port, names)))
    connections = crowd.connections
    publish_to_all(trial.cluster.valkey, names, "before")
    crowd.read_until(CHANNELS, 40)

    trial.cluster.valkey.kill()
    time.sleep(3)  # the outage
    Process.start(trial.cluster.valkey)  # Valkey.start would wait too long: it first loads its file
    until(lambda: accepts(trial.cluster.valkey.port))
    accepted = time.monotonic()
    until(trial.cluster.valkey.answers)
    opened = time.monotonic()
    sample = random.sample(names, SAMPLE)
    trial.publish(sample[0], "first probe")
    publish_to_all(trial.cluster.valkey, sample[1:], "probe")
    crowd.read_until(CHANNELS + SAMPLE, 30)
    live = time.monotonic() - opened
    publish_to_all(trial.cluster.valkey, names, "after")
    crowd.read_until(2 * CHANNELS + SAMPLE, 40)

    note(record_property, connections=connections, loading=opened - accepted, live_after=live)
    assert trial.cluster.a.metric("comet_channels") == CHANNELS
    assert (crowd.connections, crowd.resets) == (connections, 0)
    assert {tuple(crowd.contents[name]) for name in set(names) - set(sample)} == {("before", "after")}
    assert {tuple(crowd.contents[name]) for name in sample[1:]} == {("before", "probe", "after")}
    assert live <= LIVE


def publish_to_all(valkey: Valkey, names: Sequence[str], content: str) -> None:
    """Publish with history to many channels, as a backend would: by the Redis Function, in pipelines."""
    with valkey.client() as redis:
        for start in range(0, len(names), 1000):
            pipeline = redis.pipeline(transaction=False)
            for name in names[start : start + 1000]:
                pipeline.fcall("comet_publish", 1, f"comet:{name}", content)
            pipeline.execute()


def accepts(port: int) -> bool:
    """Say whether somebody listens there."""
    try:
        socket.create_connection((HOST, port), 1).close()
    except OSError:
        return False
    return True
