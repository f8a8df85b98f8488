"""Redis under pressure: buffers overflow, memory is full, keys vanish, the clock goes back."""

import random
import time

import pytest

from tests.cluster.clients import StreamClient, get
from tests.cluster.waiting import until
from tests.faults.conftest import StartTrial
from tests.faults.numbers import Record, note

pytestmark = pytest.mark.system

SMALL_BUFFER = ("--client-output-buffer-limit", "pubsub 256kb 128kb 1")
OVERFLOW = 4000  # messages of 4 KiB: more than the kernel buffers between Redis and an edge that stands still
HOUR = 3_600_000_000  # microseconds


@pytest.mark.parametrize("history", ["5000", "100"], ids=["kept", "trimmed"])
def test_redis_cuts_an_edge_that_stood_still(start: StartTrial, record_property: Record, history: str) -> None:
    """An edge that Redis threw out for not reading catches up within 5 s, from the log or with a reset."""
    trial = start(valkey_options=SMALL_BUFFER, COMET_HISTORY_SIZE=history)
    stopped, going = trial.follow("room", edges="a"), trial.follow("room", edges="b")
    trial.cluster.a.pause()
    for start_at in range(0, OVERFLOW, 100):
        *_, last = trial.publish("room", *[f"message {start_at + number}".ljust(4096) for number in range(100)])
        until(lambda last=last: all(one.log.entries[-1].seq == last for one in going))
    trial.cluster.a.resume()
    resumed = time.monotonic()
    until(lambda: all(one.log.entries[-1].seq == last for one in stopped), 15)
    repaired = time.monotonic() - resumed
    cuts = trial.cluster.a.metric("comet_redis_reconnects_total")
    summary = trial.finish()

    note(record_property, summary, repaired_after=repaired, cuts=cuts)
    assert cuts >= 1, "Redis never cut the edge: the test proves nothing"
    assert {one.resets for one in going} == {0}
    assert {bool(one.resets) for one in stopped} == {history == "100"}
    assert repaired <= 5.0


def test_redis_has_no_memory_left(start: StartTrial, record_property: Record) -> None:
    """Out of memory is a 503: nothing is sent, clients stay, and newcomers are seated where the channel is known."""
    trial = start(valkey_options=("--maxmemory-policy", "noeviction"))
    trial.follow("room")
    (before,) = trial.publish("room", "before")
    with trial.cluster.valkey.client() as redis:
        redis.config_set("maxmemory", "1")
        began = time.monotonic()
        answer = get(trial.cluster.publisher.port, "/pub", id="room", content="refused")
        took = time.monotonic() - began
        with StreamClient(trial.cluster.b.port, "room") as late:
            assert late.welcomes[0]["seq"] == before
        assert get(trial.cluster.b.port, "/poll", id="new", timeout="0").status == 503
        assert redis.hget("{comet:room}:top", "o") == before.partition("-")[0]
        redis.config_set("maxmemory", "0")
    (after,) = trial.publish("room", "after")
    summary = trial.finish()

    note(record_property, summary, refused_after=took)
    assert answer.status == 503
    assert took <= 1.0
    assert int(after.partition("-")[0]) == int(before.partition("-")[0]) + 1
    assert (summary.drops, summary.resets) == (0, 0)


@pytest.mark.parametrize("keys", [("top",), ("log",), ("top", "log")], ids=["top", "log", "both"])
def test_keys_vanish_under_load(start: StartTrial, record_property: Record, keys: tuple[str, ...]) -> None:
    """Whichever of a channel's keys is evicted: no client misses anything silently."""
    trial = start()
    channels = [f"room{number}" for number in range(4)]
    trial.follow(*channels)
    dice = random.Random(19)
    with trial.writing(batch=5, pause=0.002), trial.cluster.valkey.client() as redis:
        for count in range(200, 3000, 100):
            until(lambda count=count: trial.ledger.count > count)
            channel = dice.choice(channels)
            redis.delete(*[f"{{comet:{channel}}}:{key}" for key in keys])
    summary = trial.finish()

    note(record_property, summary)
    assert summary.drops == 0
    assert bool(summary.resets) == ("top" in keys)


def test_the_clock_of_redis_goes_back(start: StartTrial, record_property: Record) -> None:
    """Tags go on growing when the clock was set back an hour: no client sees a hole or a repetition."""
    trial = start()
    trial.publish("room", "in the old time")
    with trial.cluster.valkey.client() as redis:
        future = int(redis.hget("{comet:room}:top", "t") or 0) + HOUR  # as if the clock had been an hour ahead
        redis.hset("{comet:room}:top", "t", str(future))
    trial.follow("room")
    with trial.writing():
        until(lambda: trial.ledger.count > 200)
    summary = trial.finish()

    note(record_property, summary)
    tags = sorted(position.tag for position in trial.ledger.acked["room"])
    assert tags[1:] == list(range(future + 1, future + len(tags)))
    assert (summary.drops, summary.resets) == (0, 0)
