"""Fan-out: one write per subscriber and turn, in slices, so that no other client waits; slow readers have a policy."""

import json
import os

import pytest

from tests.edge.edge_without_redis import EdgeWithoutRedis, edge_without_redis
from tests.edge.http_client import head
from tests.edge.usual_log import GENESIS
from tests.edge.websocket_client import welcomed_websocket
from tests.pure_only import pure_only

POLL = "/poll?id=room&since=0"
MUCH = b"m" * 3_000_000  # more than any socket buffer takes


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Collect what is written to sockets, each write by itself."""
    written: list[bytes] = []
    write = os.write

    def noted(fd: int, data: bytes) -> int:
        written.append(bytes(data))
        return write(fd, data)

    monkeypatch.setattr(os, "write", noted)
    return written


@pytest.mark.parametrize("transport", ["stream", "sse"])
async def test_what_one_read_from_redis_brings_is_one_write(transport: str, writes: list[bytes]) -> None:
    """Twenty messages reach a subscriber in one write, all of them and in order."""
    async with edge_without_redis() as edge:
        await edge.held(f"/{transport}?id=room", transport=transport)
        writes.clear()
        edge.publish("room", *[b"<%d>" % number for number in range(20)])
        (one,) = writes
        assert [one.index(b"<%d>" % number) for number in range(20)] == sorted(
            one.index(b"<%d>" % number) for number in range(20)
        )


async def test_messages_of_one_read_come_in_one_piece(edge: EdgeWithoutRedis) -> None:
    """What Redis brings together is one chunk on the wire."""
    client = await edge.held("/sub?id=room")
    edge.publish("room", b"a", b"b")
    data = await client.until(b"\n\r\n")
    assert data.count(b"\n") == 4  # the chunk's size, two objects, the chunk's end


@pytest.mark.parametrize("transport", ["stream", "sse"])
async def test_several_channels_of_one_subscriber_share_a_write(transport: str, writes: list[bytes]) -> None:
    """A subscriber of two channels gets the messages of both in one write, in the order in which they came."""
    async with edge_without_redis() as edge:
        await edge.held(f"/{transport}?id=a&id=b", transport=transport)
        writes.clear()
        edge.begin_read("b", b"from b")
        edge.publish("a", b"from a")
        (one,) = writes
        assert one.index(b"from b") < one.index(b"from a")


async def test_a_poller_of_several_channels_gets_all_in_one_answer() -> None:
    """What both channels brought in one read from Redis is one batch."""
    async with edge_without_redis() as edge:
        client = await edge.held("/poll?id=a&id=b", transport="poll")
        edge.begin_read("a", b"from a")
        edge.publish("b", b"from b")
        assert [message["content"] for message in (await client.answer()).json["messages"]] == ["from a", "from b"]


@pytest.mark.parametrize("transport", ["stream", "sse"])
async def test_subscribers_of_several_channels_are_written_to_in_slices_too(
    transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many channels each of a crowd has, a bystander's message overtakes the rest of the broadcast."""
    monkeypatch.setattr("edge.engine.fanout.TURN_BUDGET", 0)
    monkeypatch.setattr("edge.engine.fanout.SEATS_PER_STEP", 1)
    async with edge_without_redis() as edge:
        query = f"/{transport}?id=crowd&id=other"
        crowd = [await edge.held(query, transport=transport) for _ in range(20)]
        bystander = await edge.held("/sub?id=quiet&id=other")
        edge.publish("crowd", b"to all")
        edge.publish("quiet", b"to one")
        await edge.until(lambda: edge.counters.delivered_total["stream"])
        assert edge.counters.delivered_total.total() < 20, "the broadcast was over at once"
        assert b"to one" in await bystander.until(b'to one"')
        for client in crowd:
            await client.until(b'to all"')


async def test_what_came_before_the_welcome_does_not_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that waits for its second channel has the first one's message; a broadcast owes it nothing more."""
    monkeypatch.setattr("edge.engine.fanout.TURN_BUDGET", 0)
    monkeypatch.setattr("edge.engine.fanout.SEATS_PER_STEP", 1)
    async with edge_without_redis() as edge:
        await edge.held("/sub?id=a")
        edge.pubsub.acknowledging = False
        client = await edge.connect()
        await client.send(head("/sub?id=a&id=b"))
        await edge.until(lambda: "b" in edge.hub.channels)
        for _ in range(40):
            await edge.held("/sub?id=a")
        edge.publish("a", b"once")
        await edge.until(lambda: next(iter(edge.hub.channels["b"].waiting)).pending.items)
        edge.hub.on_subscribed(*edge.pubsub.asked[-1])
        await client.until(b"once")
        edge.publish("b", b"then")
        assert b"once" not in await client.until(b"then")
        assert edge.hub.channels["a"].job is not None, "the broadcast was over too soon for this test"


async def test_a_poller_gets_all_that_waits_in_one_answer() -> None:
    """Many waiting messages come in one batch, with the position after the last."""
    async with edge_without_redis() as edge:
        client = await edge.connect()
        await client.send(head(POLL))
        await edge.until(lambda: edge.counters.held("poll"))
        edge.publish("room", b"1", b"2", b"3")
        batch = (await client.answer()).json
        assert [message["content"] for message in batch["messages"]] == ["1", "2", "3"]
        assert batch["seq"] == batch["messages"][-1]["seq"]


async def test_a_large_broadcast_lets_others_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a broadcast is cut into slices, a message of another channel overtakes the rest of it."""
    monkeypatch.setattr("edge.engine.fanout.TURN_BUDGET", 0)
    monkeypatch.setattr("edge.engine.fanout.SEATS_PER_STEP", 1)
    async with edge_without_redis() as edge:
        crowd = [await edge.held("/sub?id=crowd") for _ in range(30)]
        bystander = await edge.held("/sub?id=quiet")
        edge.publish("crowd", b"to all")
        edge.publish("quiet", b"to one")
        await edge.until(lambda: edge.counters.delivered_total["stream"] >= 6)
        assert edge.counters.delivered_total["stream"] < 31, "the broadcast was over at once"
        assert b"to one" in await bystander.until(b"}\n\r\n")
        for client in crowd:
            assert json.loads((await client.until(b"}\n\r\n")).split(b"\r\n")[1])["content"] == "to all"


async def test_messages_may_be_collected_for_a_while(writes: list[bytes]) -> None:
    """With COMET_FLUSH_MS what comes within that time goes out in one write."""
    async with edge_without_redis(flush_after=0.005) as edge:
        client = await edge.held("/sub?id=room")
        writes.clear()
        edge.publish("room", b"first")
        edge.publish("room", b"second")
        assert writes == []
        assert b"second" in await client.until(b"second")
        assert len(writes) == 1


@pure_only
async def test_a_framing_that_fails_leaves_no_client_with_a_hole(monkeypatch: pytest.MonkeyPatch) -> None:
    """A seat that could not be written to is closed, and its client comes back with its position; others go on."""
    async with edge_without_redis() as edge:
        client, other = await edge.held("/sub?id=room"), await edge.held("/sub?id=other")
        with monkeypatch.context() as broken:
            broken.setattr("edge.framing.stream.StreamFraming.encode", lambda *_: 1 / 0)
            edge.publish("room", b"never")
        edge.publish("other", b"again")
        assert b"again" in await other.until(b"}\n\r\n")
        assert b"never" not in await client.rest()
        assert edge.counters.closed_total["stream", "error"] == 1
        assert edge.hub.channels["room"].job is None


# Slow readers.


async def test_by_default_a_slow_reader_is_disconnected() -> None:
    """Over its limit a stream ends; it comes back with its position."""
    async with edge_without_redis() as edge:
        await edge.held("/sub?id=room")
        (seat,) = edge.seats
        edge.seats.write(seat, MUCH * 3)
        edge.seats.write(seat, MUCH * 3)  # the first of them may be of any size
        edge.publish("room", b"one too many")
        await edge.until(lambda: seat.fd == -1)
        assert edge.counters.closed_total["stream", "slow"] == 1


async def test_with_the_policy_latest_it_is_taken_to_the_newest_message() -> None:
    """It gets what was begun, a reset with the position before the newest message, and that message."""
    async with edge_without_redis(policy="latest") as edge:
        client = await edge.held("/sub?id=room")
        (seat,) = edge.seats
        edge.seats.write(seat, MUCH + b"\n")  # it may be of any size; what waits behind it may not
        for number, text in enumerate((b"one", b"two", b"three"), start=1):
            edge.seats.write(seat, MUCH + b"\n")
            edge.publish("room", text)
            await edge.until(lambda number=number: edge.counters.skipped_total == number)
        read = await client.until(b'"three"') + await client.until(b"}")
        reset, newest = [json.loads(line) for line in read.split(b"\n") if line.startswith(b"{")]
        assert (reset["type"], newest["content"]) == ("reset", "three")
        assert int(reset["seq"].split("-")[0]) + 1 == int(newest["seq"].split("-")[0])


async def test_a_slow_reader_of_several_channels_is_reset_on_each() -> None:
    """With the policy `latest` nothing is left out in silence: every channel that lost something says so."""
    async with edge_without_redis(policy="latest") as edge:
        one = await welcomed_websocket(edge, "a", "b")
        while not edge.counters.skipped_total:
            edge.publish("b", *[b"m" * 900] * 20)
            edge.publish("a", *[b"m" * 900] * 20)
            await edge.turns(2)
        tops = {name: f"{len(kept)}-{GENESIS + len(kept)}" for name, kept in edge.logs.messages.items()}
        last: dict[str, int] = {"a": 0, "b": 0}
        reset: set[str] = set()
        for _ in range(100_000):
            item = await one.next_object()
            name, offset = item["id"], int(item["seq"].split("-")[0])
            if item["type"] == "reset":
                reset.add(name)
            else:
                assert offset == last[name] + 1, f"a hole in {name} before {offset}"
            last[name] = offset
            if item["type"] == "data" and len(reset) == 2 and item["seq"] == tops[name]:
                break
        assert reset == {"a", "b"}
