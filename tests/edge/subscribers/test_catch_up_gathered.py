"""Small pieces of several channels leave in one write, with one cursor; and nothing overtakes them."""

import asyncio
import json
import random
import socket
from collections.abc import Callable, Sequence

import pytest

from common.scripts.results import SyncOutcome, SyncQuery
from edge.channels.pieces import MAX_BYTES_UNDER_WAY
from edge.protocol.operations import Op, Operation
from edge.state import Seat
from edge.subscribers.catch_up import HeldCatchUp
from tests.edge.edge_without_redis import EdgeWithoutRedis
from tests.edge.http_client import HttpClient, head
from tests.edge.usual_log import at

MANY = [f"c{number}" for number in range(128)]
IDS = "&".join(f"id={name}" for name in MANY)


def keep(edge: EdgeWithoutRedis, names: Sequence[str], count: int = 1, size: int = 0) -> None:
    """Store messages that this edge has not seen: `a1.`, `a2.` and so on."""
    for name in names:
        for number in range(1, count + 1):
            edge.logs.append(name, f"{name}-{number}.".ljust(size, ".").encode())


def meanwhile(edge: EdgeWithoutRedis, channel: str, happens: Callable[[], object]) -> None:
    """Let something happen while a piece of a channel is read for the first time."""
    reader = edge.replays.pieces._reader
    read, left = reader._sync, [happens]  # type: ignore[attr-defined]

    async def disturbed(wanted: Sequence[SyncQuery]) -> list[SyncOutcome]:
        if wanted[0].channel == channel and left:
            left.pop()()
        return await read(wanted)  # type: ignore[no-any-return]

    reader._sync = disturbed  # type: ignore[attr-defined]


def seat_of(edge: EdgeWithoutRedis) -> Seat:
    """Return the one seat there is."""
    (seat,) = edge.seats
    return seat


def limit_buffer(seat: Seat, size: int) -> None:
    """Let the kernel take so much for a seat."""
    taken = socket.socket(fileno=seat.fd)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)
    taken.detach()


async def subscribed(edge: EdgeWithoutRedis, query: str) -> HttpClient:
    """Subscribe by SSE."""
    client = await edge.connect()
    await client.send(head(f"/sse?{query}"))
    return client


async def events(edge: EdgeWithoutRedis, client: HttpClient) -> list[tuple[str, str]]:
    """Return the content and the id of each message that comes until a last one, of a channel of its own."""
    reading = asyncio.create_task(client.until(b'"the end"'))
    await edge.until(lambda: edge.counters.opened_total["sse"])
    await edge.until(lambda: not edge.replays.by_seat)
    edge.publish(seat_of(edge).channels[0].name, b"the end")
    text = (await reading).decode().replace("\r\n", "\n")
    told = []
    for event in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in event.split("\n") if ": " in line)
        if '"data"' in fields.get("data", "") and '"the end"' not in fields["data"]:
            told.append((json.loads(fields["data"])["content"].rstrip("."), fields.get("id", "")))
    return told


@pytest.mark.parametrize("start", ["since=0", "history=1"])
async def test_128_small_pieces_have_one_cursor(edge: EdgeWithoutRedis, start: str) -> None:
    """A message of each channel is a few bytes, and a cursor of all channels 2.7 KB."""
    keep(edge, MANY)
    client = await subscribed(edge, f"{IDS}&{start}")
    told = await events(edge, client)
    assert [content for content, _ in told] == [f"{name}-1" for name in MANY]
    assert [number for number, (_, cursor) in enumerate(told) if cursor] == [127]
    poll = await edge.connect()
    answer = await poll.ask(head(f"/poll?{IDS}&since={told[-1][1]}&timeout=0"))
    assert answer.contents == ["the end"]


async def test_the_short_ends_of_rings_are_gathered_too(edge: EdgeWithoutRedis) -> None:
    """What had no room in the write of the welcomes; cursors stay a small part of what is sent."""
    (await edge.held(f"/stream?{IDS}")).reset()
    await edge.until(lambda: len(edge.seats) == 0)
    for name in MANY:
        edge.publish(name, f"{name}-1".ljust(4000, ".").encode())
    client = await subscribed(edge, f"{IDS}&since=0")
    told = await events(edge, client)
    assert sorted(content for content, _ in told) == sorted(f"{name}-1" for name in MANY)
    assert 2 <= len([cursor for _, cursor in told if cursor]) <= 2 + 128 * 4100 // 16_384
    assert edge.counters.replays_total["read"] == 0


async def test_long_pieces_leave_at_once(edge: EdgeWithoutRedis) -> None:
    """Their own cursor is a small part of them."""
    keep(edge, "ab", count=6, size=8000)
    edge.logs.entries_of_a_piece = 3
    told = await events(edge, await subscribed(edge, "id=a&id=b&since=0"))
    assert [content for content, _ in told] == [f"{name}-{number}" for name in "ab" for number in range(1, 7)]
    assert [cursor for _, cursor in told if cursor] == [f"{at(a)},{at(b)}" for a, b in ((3, 0), (6, 0), (6, 3), (6, 6))]


async def test_no_live_message_overtakes_what_is_gathered(edge: EdgeWithoutRedis) -> None:
    """A channel is entered after what is gathered of it has left."""
    keep(edge, "abc")
    meanwhile(edge, "b", lambda: edge.publish("a", b"a-2"))
    meanwhile(edge, "c", lambda: edge.publish("b", b"b-2"))
    told = [content for content, _ in await events(edge, await subscribed(edge, "id=a&id=b&id=c&since=0"))]
    assert sorted(told) == ["a-1", "a-2", "b-1", "b-2", "c-1"]
    assert told.index("a-1") < told.index("a-2")
    assert told.index("b-1") < told.index("b-2")


async def test_a_live_message_of_another_channel_does_not_move_over_what_is_gathered(edge: EdgeWithoutRedis) -> None:
    """Its cursor is true where it stands: who comes back with it gets what is gathered."""
    keep(edge, "ab")
    meanwhile(edge, "b", lambda: edge.publish("live", b"now"))
    client = await subscribed(edge, "id=live&id=a&id=b&since=,0,0")
    told = dict(await events(edge, client))
    assert told["now"].split(",")[1:] == [str(at(0)), str(at(0))]
    assert told["b-1"].split(",")[1:] == [str(at(1)), str(at(1))]


async def test_what_is_gathered_is_parked_if_something_is(edge: EdgeWithoutRedis) -> None:
    """So a client that does not read keeps no bytes under way; when it reads, it has all of it, once."""

    def hold_back() -> None:
        seat = seat_of(edge)
        limit_buffer(seat, 4096)
        while seat.send_buffer is None or seat.send_buffer.size < 40_000:  # the kernel takes some more
            edge.seats.write(seat, b"\n" * 65536)

    keep(edge, "abc")
    meanwhile(edge, "b", hold_back)
    client = await edge.connect()
    client._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
    await client.send(head("/sse?id=a&id=b&id=c&since=0"))
    await edge.until(lambda: edge.replays.by_seat and seat_of(edge).send_buffer is not None)
    await edge.turns(50)
    (one,) = edge.replays.by_seat.values()
    assert isinstance(one, HeldCatchUp)
    assert len(one._gathered) == 0
    text = await client.until(b"c-1.")
    while edge.replays.by_seat:
        await edge.turns()
    assert [text.count(b"%c-1." % name) for name in b"abc"] == [1, 1, 1]


async def test_what_is_gathered_leaves_if_there_is_no_room_for_more(edge: EdgeWithoutRedis) -> None:
    """A subscriber that waits for room holds none."""
    pieces = edge.replays.pieces

    def take_all_room() -> None:
        pieces._bytes += MAX_BYTES_UNDER_WAY

    keep(edge, "abc")
    meanwhile(edge, "b", take_all_room)
    client = await subscribed(edge, "id=a&id=b&id=c&since=0")
    assert b"id: " in (await client.until(b"b-1.")).partition(b"a-1.")[2]
    pieces._give_back(MAX_BYTES_UNDER_WAY)
    assert b"a-1." not in await client.until(b"c-1.")


async def test_a_channel_that_is_left_takes_what_is_gathered_of_it_along(edge: EdgeWithoutRedis) -> None:
    """Nothing of it comes after the acknowledgement; the others have all of theirs."""
    keep(edge, "abc")
    meanwhile(edge, "b", lambda: edge.changes.apply(seat_of(edge), Operation(Op.UNSUB, "a")))
    told = dict(await events(edge, await subscribed(edge, "id=a&id=b&id=c&since=0")))
    assert list(told) == ["b-1", "c-1"]
    assert told["c-1"] == f"b={at(1)}&c={at(1)}"


async def test_who_goes_keeps_no_bytes_under_way(edge: EdgeWithoutRedis) -> None:
    """What was gathered for it is given back."""
    keep(edge, MANY)
    client = await subscribed(edge, f"{IDS}&since=0")
    meanwhile(edge, "c64", client.reset)
    await edge.until(lambda: edge.counters.opened_total["sse"])
    await edge.until(lambda: not edge.replays.by_seat)
    await edge.turns()
    while edge.replays.pieces.kept.drop_oldest():
        pass
    assert edge.replays.pieces._bytes == 0


@pytest.mark.parametrize("seed", range(30))
async def test_whatever_comes_meanwhile_each_cursor_is_true(edge: EdgeWithoutRedis, seed: int) -> None:
    """Each channel's messages come once and in order, and each cursor stands at what has come before it."""
    chance = random.Random(seed)
    edge.logs.entries_of_a_piece = chance.randint(1, 5)
    names = "abcdef"
    for name in names:
        keep(edge, name, chance.randint(0, 12), chance.choice([0, 0, 3000, 9000]))
    reader = edge.replays.pieces._reader
    read = reader._sync  # type: ignore[attr-defined]

    async def disturbed(wanted: Sequence[SyncQuery]) -> list[SyncOutcome]:
        for name in chance.choices(names, k=chance.choice([0, 0, 1, 3])):
            edge.publish(name, f"{name}-{len(edge.logs.messages.get(name, ())) + 1}.".encode())
        return await read(wanted)  # type: ignore[no-any-return]

    reader._sync = disturbed  # type: ignore[attr-defined]
    client = await subscribed(edge, "&".join(f"id={name}" for name in names) + "&since=0")
    told = await events(edge, client)
    stands = dict.fromkeys(names, 0)
    for content, cursor in told:
        name, number = content.split("-")
        assert int(number) == stands[name] + 1
        stands[name] += 1
        assert cursor in {"", ",".join(str(at(offset)) for offset in stands.values())}
    of_the_end = {seat_of(edge).channels[0].name: 1}
    assert stands == {name: len(edge.logs.messages.get(name, ())) - of_the_end.get(name, 0) for name in names}
