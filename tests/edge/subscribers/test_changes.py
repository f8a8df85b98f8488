"""Operations on seated subscribers: channels come and go, each acknowledged, and the others notice nothing."""

from typing import Any

import pytest

from edge.protocol.limits import MAX_CHANNELS
from edge.state import Seat
from edge.subscribers.pending import NO_MEMORY
from tests.edge.edge_without_redis import EdgeWithoutRedis
from tests.edge.usual_log import GENESIS
from tests.edge.websocket_client import text, welcomed_websocket

SUB_A, SUB_B, UNSUB_A, UNSUB_B = ({"op": op, "id": name} for op in ("sub", "unsub") for name in "ab")
NOWHERE = f"0-{GENESIS}"


def welcome(name: str, seq: str = NOWHERE, **more: object) -> dict[str, object]:
    """Return the welcome to a channel."""
    return {"type": "welcome", "id": name, "content": "hello world!", "seq": seq, **more}


def data(name: str, content: str, offset: int) -> dict[str, object]:
    """Return a message of the usual log."""
    return {"type": "data", "id": name, "content": content, "seq": f"{offset}-{GENESIS + offset}"}


@pytest.fixture(autouse=True)
def _thin_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write to one seat per step, so that changes come in the middle of broadcasts."""
    monkeypatch.setattr("edge.engine.fanout.SEATS_PER_STEP", 1)


def only_seat(edge: EdgeWithoutRedis) -> Seat:
    """Return the one seat there is."""
    (seat,) = edge.seats
    return seat


async def test_a_channel_may_be_added_and_given_up(edge: EdgeWithoutRedis) -> None:
    """`sub` is acknowledged by a welcome, `unsub` by its like; messages come between, and only then."""
    one = await welcomed_websocket(edge)
    edge.publish("a", b"too early")
    await one.send(SUB_A)
    assert await one.next_object() == welcome("a", "1-101")
    edge.publish("a", b"in time")
    assert await one.next_object() == data("a", "in time", 2)
    await one.send(UNSUB_A)
    assert await one.next_object() == {"type": "unsub", "id": "a"}
    edge.publish("a", b"too late")
    await one.send({"op": "ping"})
    assert await one.next_object() == {"type": "pong"}
    edge.pass_time(31)
    assert edge.pubsub.given_up == [b"t:a"]


async def test_operations_may_come_in_an_array(edge: EdgeWithoutRedis) -> None:
    """Each is acknowledged in its turn, with its ref; what is wrong with one does not concern the others."""
    one = await welcomed_websocket(edge, "a")
    await one.send(
        [
            {"op": "ping", "ref": "first"},
            {"op": "unsub", "id": "a", "ref": 2},
            {"op": "unsub", "id": "a"},
            {"op": "sub", "id": "a b", "ref": 4},
            {"op": "shout", "id": "a"},
            7,
            {"op": "sub", "id": "a", "ref": 7},
        ]
    )
    objects = await one.objects(7)
    assert objects[:3] == [
        {"type": "pong", "ref": "first"},
        {"type": "unsub", "id": "a", "ref": 2},
        {"type": "unsub", "id": "a"},
    ]
    assert [(each["code"], each.get("op"), each.get("id"), each.get("ref")) for each in objects[3:6]] == [
        (400, "sub", "a b", 4),
        (400, "shout", "a", None),
        (400, None, None, None),
    ]
    assert objects[6] == welcome("a", ref=7)


async def test_what_was_missed_follows_the_welcome(edge: EdgeWithoutRedis) -> None:
    """From a position, from the beginning, or the last few; or a reset if it cannot be proved."""
    one = await welcomed_websocket(edge)
    for payload in (b"1", b"2", b"3"):
        edge.logs.append("a", payload)
    await one.send(SUB_A | {"since": "1-101"})
    assert await one.objects(3) == [welcome("a", "1-101"), data("a", "2", 2), data("a", "3", 3)]
    await one.send([UNSUB_A, SUB_A | {"since": "0"}])
    assert [each["type"] for each in await one.objects(5)] == ["unsub", "welcome", "data", "data", "data"]
    await one.send([UNSUB_A, SUB_A | {"history": 1}])
    assert (await one.objects(3))[1:] == [welcome("a", "2-102"), data("a", "3", 3)]
    await one.send([UNSUB_A, SUB_A | {"since": "2-999"}])
    assert (await one.objects(3))[1:] == [welcome("a", "3-103"), {"type": "reset", "id": "a", "seq": "3-103"}]


async def test_a_channel_it_has_is_welcomed_again(edge: EdgeWithoutRedis) -> None:
    """The second welcome says where it stands, and changes nothing: no message comes twice."""
    one = await welcomed_websocket(edge, "a")
    edge.publish("a", b"1")
    await one.send([SUB_A, SUB_A])
    assert await one.objects(3) == [data("a", "1", 1), welcome("a", "1-101"), welcome("a", "1-101")]
    edge.publish("a", b"2")
    assert await one.next_object() == data("a", "2", 2)
    assert only_seat(edge).fast_path


async def test_with_one_channel_again_it_is_back_on_the_fast_path(edge: EdgeWithoutRedis) -> None:
    """A seat shares its channel's bytes exactly while it has one."""
    one = await welcomed_websocket(edge, "a")
    seat = only_seat(edge)
    await one.send(SUB_B)
    await one.next_object()
    assert not seat.fast_path
    await one.send(UNSUB_A)
    await one.next_object()
    assert seat.fast_path
    await one.send(UNSUB_B)
    await one.next_object()
    assert not seat.fast_path


async def test_a_channel_that_is_not_ready_keeps_nothing_waiting(edge: EdgeWithoutRedis) -> None:
    """C3: pings are answered and messages come while Redis has not acknowledged; each `sub` has its welcome then."""
    one = await welcomed_websocket(edge, "a")
    edge.pubsub.acknowledging = False
    await one.send(SUB_B | {"ref": 1}, {"op": "ping"}, SUB_B | {"ref": 2})
    assert await one.next_object() == {"type": "pong"}
    edge.publish("a", b"1")
    assert await one.next_object() == data("a", "1", 1)
    await edge.turns()
    edge.hub.on_subscribed(*edge.pubsub.asked[-1])
    assert await one.objects(2) == [welcome("b", ref=1), welcome("b", ref=2)]
    assert edge.changes._joins == {}


async def test_a_channel_that_does_not_get_ready_is_refused(edge: EdgeWithoutRedis) -> None:
    """After three seconds, and the connection stays; the next try may find Redis back."""
    one = await welcomed_websocket(edge, "a")
    edge.pubsub.acknowledging = False
    await one.send(SUB_B | {"ref": 1})
    await edge.until(lambda: len(edge.pubsub.asked) == 2)
    edge.pass_time(3.5)
    error = await one.next_object()
    assert (error["type"], error["code"], error["op"], error["id"], error["ref"]) == ("error", 503, "sub", "b", 1)
    edge.hub.on_subscribed(*edge.pubsub.asked[-1])
    await one.send(SUB_B)
    assert await one.next_object() == welcome("b")


async def test_a_new_channel_that_redis_has_no_room_for_is_refused(edge: EdgeWithoutRedis) -> None:
    """At once, and the connection stays."""
    one = await welcomed_websocket(edge, "a")
    edge.logs.full = True
    await one.send(SUB_B | {"ref": 1})
    error = await one.next_object()
    assert (error["code"], error["content"], error["ref"]) == (503, NO_MEMORY, 1)
    assert list(edge.hub.channels) == ["a"]
    edge.logs.full = False
    await one.send(SUB_B)
    assert await one.next_object() == welcome("b")


async def test_a_channel_may_be_given_up_before_it_is_ready(edge: EdgeWithoutRedis) -> None:
    """C1: the `sub` is refused, the `unsub` acknowledged, and no welcome comes late."""
    one = await welcomed_websocket(edge, "a")
    edge.pubsub.acknowledging = False
    await one.send(SUB_B | {"ref": 1}, UNSUB_B | {"ref": 2})
    error, done = await one.objects(2)
    assert (error["code"], error["ref"], done) == (409, 1, {"type": "unsub", "id": "b", "ref": 2})
    edge.hub.on_subscribed(*edge.pubsub.asked[-1])
    await edge.turns()
    assert not edge.hub.channels["b"].is_occupied
    await one.send({"op": "ping"})
    assert await one.next_object() == {"type": "pong"}


async def test_a_client_that_goes_while_a_channel_gets_ready_is_forgotten(edge: EdgeWithoutRedis) -> None:
    """C4: no seat enters a channel after its end."""
    one = await welcomed_websocket(edge, "a")
    edge.pubsub.acknowledging = False
    await one.send(SUB_B)
    await edge.until(lambda: len(edge.pubsub.asked) == 2)
    one.client.close()
    await edge.until(lambda: len(edge.seats) == 0)
    edge.hub.on_subscribed(*edge.pubsub.asked[-1])
    await edge.turns()
    assert not edge.hub.channels["b"].is_occupied
    assert edge.changes._joins == {}


async def test_a_connection_holds_a_bounded_number_of_channels(edge: EdgeWithoutRedis) -> None:
    """The 129th is refused, those on the way count; after giving one up there is room again."""
    one = await welcomed_websocket(edge, "first")
    await one.send([{"op": "sub", "id": f"c{number}"} for number in range(MAX_CHANNELS)])
    objects = await one.objects(MAX_CHANNELS)
    (error,) = [each for each in objects if each["type"] == "error"]
    assert (error["code"], error["id"]) == (400, f"c{MAX_CHANNELS - 1}")
    assert str(MAX_CHANNELS) in error["content"]
    await one.send([{"op": "unsub", "id": "first"}, {"op": "sub", "id": "last"}])
    assert [each["type"] for each in await one.objects(2)] == ["unsub", "welcome"]


async def in_the_middle_of_a_broadcast(edge: EdgeWithoutRedis, op: Any, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Let a seat that a broadcast has not reached yet do something; return all that it gets."""
    crowd = [await welcomed_websocket(edge, "a") for _ in range(3)]
    last = crowd[-1]
    *_, seat = edge.seats
    with monkeypatch.context() as patched:
        patched.setattr("edge.engine.fanout.TURN_BUDGET", -1.0)  # one step a turn
        edge.publish("a", b"1")
        assert edge.hub.channels["a"].job is not None
        edge.publish("a", b"2")  # waits behind the first
        edge.handler.on_bytes(seat, op)
    await last.send({"op": "ping"})
    got = []
    while (item := await last.next_object())["type"] != "pong":
        got.append(item)
    for one in crowd[:-1]:
        assert await one.objects(2) == [data("a", "1", 1), data("a", "2", 2)]
    edge.publish("a", b"3")
    await last.send({"op": "ping"})
    while (item := await last.next_object())["type"] != "pong":
        got.append(item)
    return got


OWED, NEXT, LATER = data("a", "1", 1), data("a", "2", 2), data("a", "3", 3)


async def test_nothing_comes_after_an_unsub_in_the_middle_of_a_broadcast(
    edge: EdgeWithoutRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C2: what was on its way comes before the acknowledgement, the rest not at all."""
    got = await in_the_middle_of_a_broadcast(edge, text(UNSUB_A), monkeypatch)
    assert got == [OWED, {"type": "unsub", "id": "a"}]


async def test_a_seat_that_comes_back_in_the_middle_of_a_broadcast_gets_nothing_twice(
    edge: EdgeWithoutRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C2: it left after the first message and is welcomed after the second, which it did not ask for."""
    got = await in_the_middle_of_a_broadcast(edge, text([UNSUB_A, SUB_A]), monkeypatch)
    assert got == [OWED, {"type": "unsub", "id": "a"}, welcome("a", "2-102"), LATER]


async def test_a_seat_that_comes_back_from_its_position_in_a_broadcast_gets_everything_once(
    edge: EdgeWithoutRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same with the position it has."""
    again = SUB_A | {"since": "1-101"}
    got = await in_the_middle_of_a_broadcast(edge, text([UNSUB_A, again]), monkeypatch)
    assert got == [OWED, {"type": "unsub", "id": "a"}, welcome("a", "1-101"), NEXT, LATER]


async def test_a_channel_more_in_the_middle_of_a_broadcast_costs_nothing(
    edge: EdgeWithoutRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The seat leaves the fast path while a job is on its way to it, and gets it all the same, once."""
    await welcomed_websocket(edge, "b")
    got = await in_the_middle_of_a_broadcast(edge, text(SUB_B), monkeypatch)
    assert [each for each in got if each["id"] == "a"] == [OWED, NEXT, LATER]
    assert [each for each in got if each["id"] == "b"] == [welcome("b")]
