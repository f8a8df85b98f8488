"""Many messages at once on a real Redis: each has its own result, and the order is kept."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from redis.exceptions import OutOfMemoryError, ReadOnlyError, ResponseError

from common.message import Message, decode
from common.position import Position
from common.redis.pipelines import Command, Pipelines
from common.scripts.publishing import ONCE_TTL, Outgoing, Publishing
from common.scripts.results import Published
from common.settings import load_settings
from tests.common.scripts.real_log import Listener, Log, fill_memory


def publishing(log: Log, history_size: int = 100) -> Publishing:
    """Return what publishes for the deployment of a log."""
    return Publishing(Pipelines(log.client), log.names, load_settings(history_size=history_size))


def soon() -> float:
    """Return a deadline that no test reaches."""
    return asyncio.get_running_loop().time() + 60


async def publish(log: Log, *messages: Outgoing, history_size: int = 100) -> Sequence[Published | Exception]:
    """Publish messages together."""
    return await publishing(log, history_size).publish(messages, soon())


def to_room(*payloads: bytes) -> list[Outgoing]:
    """Return messages to the channel of the log."""
    return [Outgoing("room", Message(payload)) for payload in payloads]


def offsets(results: Sequence[Published | Exception]) -> list[int]:
    """Return the offsets of messages that must have been stored."""
    return [result.position.offset for result in results if isinstance(result, Published) and result.position]


async def test_messages_are_stored_and_sent_in_order(log: Log) -> None:
    """Each has its position, and the number of edges that it reached."""
    async with Listener(log) as listener:
        results = await publish(log, *to_room(b"one", b"two", b"three"))
        assert offsets(results) == [1, 2, 3]
        assert [result.edges for result in results if isinstance(result, Published)] == [1, 1, 1]
        assert [decode(frame).payload for frame in await listener.received()] == [b"one", b"two", b"three"]  # type: ignore[union-attr]


async def test_all_that_a_message_has_travels(log: Log) -> None:
    """As with one message at a time."""
    message = Message(b"hi", event="e v", inbox="me.7", expires=2_000_000_000_000)
    async with Listener(log) as listener:
        await publish(log, Outgoing("room", message), Outgoing("room", message, live=True))
        stored, live = [decode(frame) for frame in await listener.received()]
    assert stored == message._replace(offset=1, tag=stored.tag, prev=stored.prev)  # type: ignore[union-attr]
    assert live == message


@pytest.mark.parametrize("payloads", [[b"one"], [b"one", b"two", b"three"]])
async def test_a_server_that_forgot_the_script_gets_it_again(own_log: Log, payloads: list[bytes]) -> None:
    """One message alone and several; their order is kept."""
    it = publishing(own_log)
    for round_ in range(2):
        await own_log.client.script_flush()
        results = await it.publish(to_room(*payloads), soon())
        assert offsets(results) == [round_ * len(payloads) + number + 1 for number in range(len(payloads))]
    assert [message.payload for message in await own_log.stored()] == payloads * 2


async def test_requests_at_the_same_time_to_a_server_without_the_script(own_log: Log) -> None:
    """All of them are stored, once each."""
    it = publishing(own_log)
    await asyncio.gather(*(it.publish(to_room(b"%d" % number), soon()) for number in range(20)))
    assert sorted(int(message.payload) for message in await own_log.stored()) == list(range(20))


async def test_an_error_is_that_of_its_message(log: Log) -> None:
    """A key of one channel is of another kind."""
    await log.client.set(log.names.top("broken"), "x")
    one, two, three = await publish(log, *to_room(b"one"), Outgoing("broken", Message(b"two")), *to_room(b"three"))
    assert offsets([one, three]) == [1, 2]
    assert isinstance(two, ResponseError)


async def test_out_of_memory_each_message_is_told_for_itself(own_log: Log) -> None:
    """Live messages need none."""
    await fill_memory(own_log)
    stored, live = await publish(own_log, *to_room(b"one"), Outgoing("room", Message(b"two"), live=True))
    assert isinstance(stored, OutOfMemoryError)
    assert live == Published(None, 0)


async def test_a_deployment_without_history_has_no_keys(log: Log) -> None:
    """COMET_HISTORY_SIZE=0 is PUBLISH and nothing else."""
    async with Listener(log) as listener:
        assert await publish(log, *to_room(b"one", b"two"), history_size=0) == [Published(None, 1)] * 2
        assert await listener.received() == [b"\x01C1 0 0 0\none", b"\x01C1 0 0 0\ntwo"]
    assert await log.keys() == []


async def test_keys_that_were_used_get_their_first_results(log: Log) -> None:
    """Within one array, too; the others are published."""
    paid = Outgoing("room", Message(b"paid"), key="order 7")
    first, again, other, last = await publish(log, paid, paid, *to_room(b"other"), paid)
    assert isinstance(first, Published)
    assert again == last == Published(first.position, 0, again=True)
    assert offsets([first, other]) == [1, 2]


async def test_a_key_remembers_how_many_got_its_message(log: Log) -> None:
    """It is added when the receipts are there; it lives no longer than the key, and does not bring it back."""
    paid, gone = (Outgoing("room", Message(b"paid"), key=key) for key in ("a", "gone"))
    it = publishing(log)
    (first,) = await it.publish([paid], soon())
    assert isinstance(first, Published)
    await it.remember([(paid, first, 7), (gone, first, 7)], soon())
    assert await it.publish([paid], soon()) == [first._replace(again=True, subscribers=7)]
    assert ONCE_TTL - 10 < await log.client.ttl(log.names.once("room", "a")) <= ONCE_TTL
    assert not await log.client.exists(log.names.once("room", "gone"))


async def test_a_key_of_an_older_version_is_known_and_a_broken_one_is_an_error(log: Log) -> None:
    """An older one holds the position and nothing else."""
    await log.client.set(log.names.once("room", "a"), "3-1795540228796123")
    await log.client.set(log.names.once("room", "b"), "3-1795540228796123 x")
    old, broken = await publish(log, *(Outgoing("room", Message(b"x"), key=key) for key in ("a", "b")))
    assert old == Published(Position(3, 1795540228796123), 0, again=True)
    assert isinstance(broken, Exception)
    assert "a key's result" in str(broken)


class Demoted(Pipelines):
    """Reaches a server that takes no writes with the first `pipelines`, and the primary afterwards."""

    def __init__(self, log: Log, pipelines: int) -> None:
        super().__init__(log.client)
        self._client = log.client
        self._left = pipelines

    async def execute(self, commands: Sequence[Command], deadline: float) -> list[Any]:
        """Send commands while the server is a replica, or afterwards."""
        if not self._left:
            return await super().execute(commands, deadline)
        self._left -= 1
        await self._client.replicaof("127.0.0.1", 1)
        try:
            return await super().execute(commands, deadline)
        finally:
            await self._client.replicaof("NO", "ONE")


@pytest.mark.parametrize("payloads", [[b"one"], [b"one", b"two", b"three"]])
async def test_what_a_replica_refused_is_sent_to_the_primary(own_log: Log, payloads: list[bytes]) -> None:
    """Once: no client hears of a swap that is over; the messages are stored once, in their order."""
    it = Publishing(Demoted(own_log, 1), own_log.names, load_settings(history_size=100))
    assert offsets(await it.publish(to_room(*payloads), soon())) == [*range(1, len(payloads) + 1)]
    assert [message.payload for message in await own_log.stored()] == payloads


async def test_where_there_is_no_primary_the_error_is_told(own_log: Log) -> None:
    """After a second refusal."""
    it = Publishing(Demoted(own_log, 2), own_log.names, load_settings(history_size=100))
    assert [type(one) for one in await it.publish(to_room(b"one", b"two"), soon())] == [ReadOnlyError] * 2
    assert await own_log.stored() == []


class Promoted(Pipelines):
    """Gives replies of a server that became the primary after the first command, and counts the calls."""

    calls = 0

    async def execute(self, commands: Sequence[Command], deadline: float) -> list[Any]:
        """Carry out all commands but the first that publishes."""
        self.calls += 1
        loading, _, *rest = commands
        loaded, *replies = await super().execute([loading, *rest], deadline)
        return [loaded, ReadOnlyError("You can't write against a read only replica."), *replies]


async def test_nothing_overtakes_what_was_refused(own_log: Log) -> None:
    """If the second message was stored, the first is not sent again: it would come behind it."""
    pipelines = Promoted(own_log.client)
    it = Publishing(pipelines, own_log.names, load_settings(history_size=100))
    refused, stored = await it.publish(to_room(b"one", b"two"), soon())
    assert isinstance(refused, ReadOnlyError)
    assert offsets([stored]) == [1]
    assert pipelines.calls == 1
