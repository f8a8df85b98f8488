"""What the clients of held WebSockets send: frames, faults, close codes, floods; time is moved by hand."""

import asyncio
import random
from unittest.mock import Mock

import pytest
from websockets.frames import Opcode

from edge.protocol.limits import USUAL_LIMITS
from edge.server.listener import MAX_REST_BYTES, READ_BYTES
from tests.edge.edge_without_redis import EdgeWithoutRedis, edge_without_redis
from tests.edge.http_client import head
from tests.edge.websocket_client import HANDSHAKE, WebSocketClient, closing, frame, mutated, text, welcomed_websocket


async def test_frames_sent_ahead_are_read_after_the_welcome(edge: EdgeWithoutRedis) -> None:
    """A client that does not wait for the answer to its handshake loses nothing."""
    edge.pubsub.acknowledging = False
    client = await edge.connect()
    await client.send(head("/ws?id=room", *HANDSHAKE) + text({"op": "ping", "ref": 1}))
    await edge.until(lambda: edge.pubsub.asked)
    await client.send(text({"op": "ping", "ref": 2}))
    await edge.turns()
    edge.hub.on_subscribed(*edge.pubsub.asked[0])
    await client.until(b"\r\n\r\n")
    one = WebSocketClient(client)
    assert [each["type"] for each in await one.objects(3)] == ["welcome", "pong", "pong"]
    await one.send({"op": "ping", "ref": 3})
    assert await one.next_object() == {"type": "pong", "ref": 3}


async def test_a_websocket_at_rest_keeps_nothing(edge: EdgeWithoutRedis) -> None:
    """After all it said, nothing is left of it but its seat."""
    one = await welcomed_websocket(edge, "room")
    await one.send({"op": "ping"}, {"op": "ping"})
    await one.objects(2)
    (seat,) = edge.seats
    assert (seat.recv_buffer, seat.send_buffer, seat.pending, seat.positions) == (b"", None, None, None)


# Frames come in.


async def test_a_message_may_come_in_fragments_with_pings_between(edge: EdgeWithoutRedis) -> None:
    """RFC 6455 section 5.4, and byte by byte at that."""
    one = await welcomed_websocket(edge, "room")
    data = (
        frame(Opcode.TEXT, b'{"op":', fin=False)
        + frame(Opcode.PING, b"between")
        + frame(Opcode.CONT, b'"pi', fin=False)
        + frame(Opcode.CONT, b"", fin=False)
        + frame(Opcode.CONT, b'ng"}')
    )
    for byte in data:
        await one.client.send(bytes([byte]))
        await edge.turns(3)
    pong = await one.next_frame()
    assert (pong.opcode, pong.data) == (Opcode.PONG, b"between")
    assert await one.next_object() == {"type": "pong"}


FAULTS = {
    "an unmasked frame": (b"\x81\x02{}", 1002),
    "an unmasked ping": (b"\x89\x00", 1002),
    "an unmasked close frame": (b"\x88\x02\x03\xe8", 1002),
    **{f"reserved bit {bit}": (bytes([0x81 | 0x80 >> bit]) + text({})[1:], 1002) for bit in (1, 2, 3)},
    "a reserved bit of a ping": (b"\xc9" + frame(Opcode.PING)[1:], 1002),
    "a reserved bit of a continuation": (
        frame(Opcode.TEXT, b"{", fin=False) + b"\xc0" + frame(Opcode.CONT, b"}")[1:],
        1002,
    ),
    **{
        f"reserved opcode {code}": (bytes([0x80 | code]) + text({})[1:], 1002)
        for code in (*range(3, 8), *range(11, 16))
    },
    "a binary message": (frame(Opcode.BINARY, b"x"), 1003),
    "text that is not UTF-8": (frame(Opcode.TEXT, b"\xff\xfe"), 1007),
    "text that ends in a character": (frame(Opcode.TEXT, "ü".encode()[:1]), 1007),
    "text that is not UTF-8, in fragments": (
        frame(Opcode.TEXT, b'"\xc3', fin=False) + frame(Opcode.PONG) + frame(Opcode.CONT, b'("'),
        1007,
    ),
    "text in fragments that ends in a character": (
        frame(Opcode.TEXT, b'"', fin=False) + frame(Opcode.CONT, "ü".encode()[:1]),
        1007,
    ),
    "an overlong character": (frame(Opcode.TEXT, b"\xc0\xaf"), 1007),
    "a character beyond Unicode": (frame(Opcode.TEXT, b"\xf4\x90\x80\x80"), 1007),
    "text with a surrogate": (frame(Opcode.TEXT, b"\xed\xa0\x80"), 1007),
    "a large message": (frame(Opcode.TEXT, b"x" * (USUAL_LIMITS.max_websocket_bytes + 1)), 1009),
    "a message that says it will be large": (b"\x81\xff\x7f" + b"\xff" * 7, 1009),
    "many fragments": (
        frame(Opcode.TEXT, b"", fin=False) + frame(Opcode.CONT, b"x" * 9000, fin=False) * 2,
        1009,
    ),
    "the longest length there is": (b"\x81\xff" + b"\xff" * 8, 1009),
    "a large ping": (b"\x89\xfe\x00\x7e", 1002),
    "a large pong": (b"\x8a\xfe\x00\x7e", 1002),
    "a large close frame": (b"\x88\xfe\x00\x7e", 1002),
    "a huge ping": (b"\x89\xff" + b"\x00" * 4 + b"\xff" * 4, 1002),
    "a ping in fragments": (b"\x09" + frame(Opcode.PING)[1:], 1002),
    "a close frame in fragments": (b"\x08" + closing(1000)[1:], 1002),
    "a continuation of nothing": (frame(Opcode.CONT, b"x"), 1002),
    "a continuation of nothing that goes on": (frame(Opcode.CONT, b"x", fin=False), 1002),
    "a binary message in fragments": (frame(Opcode.BINARY, b"x", fin=False), 1003),
    "a message inside another": (frame(Opcode.TEXT, b"x", fin=False) + text({}), 1002),
    "a close frame of one byte": (frame(Opcode.CLOSE, b"\x03"), 1002),
    **{
        f"close code {code}": (closing(code), 1002)
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535)
    },
    "a close reason that is not UTF-8": (frame(Opcode.CLOSE, b"\x03\xe8\xff"), 1007),
}


@pytest.mark.parametrize(("data", "code"), FAULTS.values(), ids=FAULTS.keys())
async def test_a_fault_closes_with_its_code(edge: EdgeWithoutRedis, data: bytes, code: int) -> None:
    """RFC 6455 section 7.4.1; the seat leaves its channel, and what was said before the fault is answered."""
    one = await welcomed_websocket(edge, "room")
    await one.client.send(text({"op": "ping"}) + data)
    assert await one.next_object() == {"type": "pong"}
    assert await one.close_code() == code
    assert edge.hub.channels["room"].seats == ()
    assert edge.counters.closed_total["ws", "error"] == 1


@pytest.mark.parametrize("message", ["", "7", "{", "[]", "null", '{"op":"shout"}', '{"op":"sub","id":"a b"}', "\0"])
async def test_a_wrong_message_leaves_the_connection_alone(edge: EdgeWithoutRedis, message: str) -> None:
    """What is no operation, or one on a channel that cannot be, is an error object; the next one is done."""
    one = await welcomed_websocket(edge, "room")
    await one.client.send(frame(Opcode.TEXT, message.encode()) + text({"op": "ping", "ref": "next"}))
    while (got := await one.next_object())["type"] != "pong":
        assert (got["type"], got["code"]) == ("error", 400)
    assert got["ref"] == "next"
    edge.publish("room", b"hi")
    assert (await one.next_object())["content"] == "hi"


async def test_a_character_may_be_cut_by_fragments(edge: EdgeWithoutRedis) -> None:
    """Only a whole message must be UTF-8 (RFC 6455 section 5.6)."""
    one, character = await welcomed_websocket(edge), "🦊".encode()
    begin, end = b'{"op":"ping","ref":"' + character[:1], character[3:] + b'"}'
    await one.client.send(
        frame(Opcode.TEXT, begin, fin=False) + frame(Opcode.CONT, character[1:3], fin=False) + frame(Opcode.CONT, end)
    )
    assert await one.next_object() == {"type": "pong", "ref": "🦊"}


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1007, 1011, 1014, 3000, 4999, None])
async def test_a_close_is_answered_with_the_same_code(edge: EdgeWithoutRedis, code: int | None) -> None:
    """And then with the end; what follows a close frame is not read."""
    one = await welcomed_websocket(edge, "room")
    await one.client.send(closing(code, "bye" if code else "") + text({"op": "ping"}))
    assert await one.close_code() == (code or 0)
    assert edge.counters.closed_total["ws", "client"] == 1


async def test_the_largest_message_is_read(edge: EdgeWithoutRedis) -> None:
    """16 KiB are allowed."""
    one = await welcomed_websocket(edge, "room")
    empty = '{"op":"ping","x":""}'
    await one.send(empty.replace('""', '"' + "x" * (USUAL_LIMITS.max_websocket_bytes - len(empty)) + '"'))
    assert await one.next_object() == {"type": "pong"}


# Floods.


async def test_a_flood_is_read_in_turns(edge: EdgeWithoutRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    """I10: what came at once is answered over many turns, in order, and is bounded; others are served between."""
    monkeypatch.setattr("common.tasks.TURN_BUDGET", -1.0)
    flood, other = await welcomed_websocket(edge, "room"), await welcomed_websocket(edge, "room")
    monkeypatch.setattr("common.tasks.TURN_BUDGET", 0.0)
    await flood.send(*({"op": "ping", "ref": number} for number in range(2000)))
    await edge.turns(3)
    seat = next(iter(edge.seats))
    assert 0 < len(seat.recv_buffer) <= 8192 + USUAL_LIMITS.max_websocket_bytes
    await other.send({"op": "ping"})
    assert await other.next_object() == {"type": "pong"}
    assert [each["ref"] for each in await flood.objects(2000)] == list(range(2000))
    assert seat.recv_buffer == b""


async def test_a_flood_is_not_read_on_while_its_sender_reads_nothing(edge: EdgeWithoutRedis) -> None:
    """What waits for a client that does not read does not make the edge read more from it."""
    one = await welcomed_websocket(edge, "room")
    (seat,) = edge.seats
    flood = asyncio.create_task(one.client.send(text({"op": "none"}) * 50_000))
    await edge.until(lambda: seat.send_buffer is not None)
    for _ in range(500):
        await edge.turns(1)
        assert len(seat.recv_buffer) <= 2 * (READ_BYTES + MAX_REST_BYTES)
    flood.cancel()


async def test_a_flood_of_pings_is_ponged_in_order(edge: EdgeWithoutRedis) -> None:
    """Every ping has its pong."""
    one = await welcomed_websocket(edge, "room")
    await one.client.send(b"".join(frame(Opcode.PING, b"%d" % number) for number in range(500)))
    pongs = [await one.next_frame() for _ in range(500)]
    assert [bytes(pong.data) for pong in pongs] == [b"%d" % number for number in range(500)]


async def test_a_client_that_only_sends_and_never_reads_is_cut(edge: EdgeWithoutRedis) -> None:
    """S5: its pongs wait in its outbox until that has too much; it does not grow for ever."""
    one = await welcomed_websocket(edge, "room")
    (seat,) = edge.seats
    pings = frame(Opcode.PING, b"x" * 125) * 500
    for _ in range(300):
        if seat.framing is None:
            break
        edge.handler.on_bytes(seat, pings[: 131 * 60])
        await edge.turns(5)
    assert edge.counters.closed_total["ws", "slow"] == 1
    rest = await one.client.rest()
    assert rest.endswith(b"you read too slowly; connect again and go on from your position")
    assert b"\x03\xf5" in rest[-80:]  # 1013


# Anything at all.


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_comes_is_answered_or_closed_and_never_a_bug(seed: int) -> None:
    """2,500 random strings and broken frames each: no exception reaches the last resort."""
    chance, log = random.Random(seed), Mock()
    async with edge_without_redis(max_connections=3000) as edge:
        edge.lifecycle._log = log
        await welcomed_websocket(edge, "room")
        for number in range(2500):
            *_, seat = edge.seats
            edge.handler.on_bytes(seat, chance.randbytes(chance.randint(1, 60)) if number % 2 else mutated(chance))
            await edge.turns(2)
            if seat.framing is None or number % 20 == 0:
                await welcomed_websocket(edge, "room")
        assert log.exception.call_args_list == []
        assert edge.counters.closed_total["ws", "error"] > 100
        last = await welcomed_websocket(edge, "room")
        edge.publish("room", b"still here")
        assert (await last.next_object())["content"] == "still here"


async def test_a_sentence_is_said_once_for_each_message(edge: EdgeWithoutRedis) -> None:
    """Each operation that is wrong has its error all the same, and the next message has the sentence again."""
    one = await welcomed_websocket(edge, "room")
    for _ in range(2):
        await one.send([1, 2, {"op": "ping"}, {"id": "x", "ref": 7}, 3, {}])
        errors = await one.objects(6)
        assert [each["type"] for each in errors] == ["error", "error", "pong", "error", "error", "error"]
        assert [each.get("content", "")[:9] for each in errors] == [
            "an operat",
            "as above",
            "",
            "op: give ",
            "as above",
            "as above",
        ]
        assert errors[3]["ref"] == 7
