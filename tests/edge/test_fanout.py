"""Fan-out: one write per subscriber and turn, in slices, so that nobody else waits."""

import json
import os

import pytest

from edge.hub import Hub
from tests.edge.building import SmallEdge, head, small_edge

POLL = "/poll?id=room&since=0"


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
    async with small_edge() as edge:
        await edge.held(f"/{transport}?id=room", transport=transport)
        writes.clear()
        edge.publish("room", *[b"<%d>" % number for number in range(20)])
        (one,) = writes
        assert [one.index(b"<%d>" % number) for number in range(20)] == sorted(
            one.index(b"<%d>" % number) for number in range(20)
        )


async def test_several_channels_of_one_subscriber_share_a_write(writes: list[bytes]) -> None:
    """A subscriber of two channels gets the messages of both in one write."""
    async with small_edge() as edge:
        await edge.held("/sub?id=a&id=b")
        writes.clear()
        hold(edge.hub, edge, "a", b"from a")
        edge.publish("b", b"from b")
        (one,) = writes
        assert b"from a" in one
        assert b"from b" in one


async def test_a_poller_gets_all_that_waits_in_one_answer() -> None:
    """Many waiting messages come in one batch, with the position after the last."""
    async with small_edge() as edge:
        client = await edge.connect()
        await client.send(head(POLL))
        await edge.until(lambda: edge.counters.held("poll"))
        edge.publish("room", b"1", b"2", b"3")
        batch = (await client.answer()).json
        assert [message["content"] for message in batch["messages"]] == ["1", "2", "3"]
        assert batch["seq"] == batch["messages"][-1]["seq"]


async def test_a_large_broadcast_lets_others_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a broadcast is cut into slices, a message of another channel overtakes the rest of it."""
    monkeypatch.setattr("edge.fanout.SLICE", 0)
    monkeypatch.setattr("edge.fanout.STEP", 1)
    async with small_edge() as edge:
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
    async with small_edge(flush_after=0.005) as edge:
        client = await edge.held("/sub?id=room")
        writes.clear()
        edge.publish("room", b"first")
        edge.publish("room", b"second")
        assert writes == []
        assert b"second" in await client.until(b"second")
        assert len(writes) == 1


async def test_a_framing_that_fails_harms_its_own_job_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug while one channel's messages are encoded is logged, and the next message is delivered."""
    async with small_edge() as edge:
        client = await edge.held("/sub?id=room")
        with monkeypatch.context() as broken:
            broken.setattr("edge.framing.held.StreamFraming.encode", lambda *_: 1 / 0)
            edge.publish("room", b"never")
        edge.publish("room", b"again")
        assert b"again" in await client.until(b"}\n\r\n")
        assert edge.hub.channels["room"].job is None


def hold(hub: Hub, edge: SmallEdge, name: str, payload: bytes) -> None:
    """Let a message arrive without the end of the read that brought it."""
    end, hub.on_read_end = hub.on_read_end, lambda: None  # type: ignore[method-assign]
    edge.publish(name, payload)
    hub.on_read_end = end  # type: ignore[method-assign]
