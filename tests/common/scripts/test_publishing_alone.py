"""One message at a time on a real Redis: what it leaves, and what a key makes of a retry."""

from common.message import Message, decode
from common.position import Position
from common.redis.client import connect
from common.scripts.publishing import ONCE_TTL
from common.scripts.results import Published
from tests.common.scripts.real_log import Listener, Log, fill_memory


async def test_a_publish_tells_how_many_edges_it_reached(log: Log) -> None:
    """None, then two."""
    assert (await log.backend.publish("room", Message(b"one"))).edges == 0
    async with Listener(log), Listener(log):
        assert (await log.backend.publish("room", Message(b"two"))).edges == 2


async def test_a_live_message_leaves_nothing_in_redis(log: Log) -> None:
    """It is sent without a position, and there is no key afterwards."""
    async with Listener(log) as listener:
        assert await log.backend.publish("room", Message(b"hi", event="e"), live=True) == Published(None, 1)
        assert [decode(frame) for frame in await listener.received()] == [Message(b"hi", event="e")]
    assert await log.keys() == []


async def test_a_live_message_between_two_stored_ones_does_not_break_the_chain(log: Log) -> None:
    """It consumes no offset."""
    first = await log.publish(b"one")
    await log.backend.publish("room", Message(b"live"), live=True)
    await log.publish(b"two")
    assert await log.recover(first) == [b"two"]


async def test_out_of_memory_live_messages_still_go_out(own_log: Log) -> None:
    """They need no memory."""
    async with Listener(own_log) as listener:
        await fill_memory(own_log)
        assert (await own_log.backend.publish("room", Message(b"hi"), live=True)).edges == 1
        assert len(await listener.received()) == 1


async def test_a_deployment_without_history_has_no_keys(valkey_url: str, prefix: str) -> None:
    """COMET_HISTORY_SIZE=0 is PUBLISH and nothing else, with an idempotency key, too."""
    async with connect(valkey_url) as client:
        log = Log(client, prefix, history_size=0)
        async with Listener(log) as listener:
            assert await log.backend.publish("room", Message(b"hi"), key="k") == Published(None, 1)
            assert await listener.received() == [b"\x01C1 0 0 0\nhi"]
        assert await log.keys() == []


async def test_the_same_key_gets_the_same_answer_and_does_nothing(log: Log) -> None:
    """A retry, even with other content, is answered like the first try; nothing is stored or sent twice."""
    async with Listener(log) as listener:
        first = await log.backend.publish("room", Message(b"paid"), key="order 7")
        again = await log.backend.publish("room", Message(b"other"), key="order 7")
        assert (first.edges, again) == (1, Published(first.position, 1, again=True))
        assert len(await listener.received()) == 1
    assert [message.payload for message in await log.stored()] == [b"paid"]
    assert await log.top() == first.position


async def test_a_key_of_an_older_version_is_known(log: Log) -> None:
    """It holds the position and nothing else."""
    await log.client.set(log.names.once("room", "a"), "3-1795540228796123")
    published = await log.backend.publish("room", Message(b"paid"), key="a")
    assert published == Published(Position(3, 1795540228796123), 0, again=True)


async def test_other_keys_and_other_channels_are_their_own(log: Log) -> None:
    """A key is remembered per channel, whatever characters it has, and for five minutes."""
    keys = ["a", "b", "a b", "{x}", "ü*\n"]
    positions = [await log.publish(b"hi", key) for key in keys]
    assert [position.offset for position in positions] == [1, 2, 3, 4, 5]
    assert (await log.backend.publish("other", Message(b"hi"), key="a")).edges == 0
    for key in keys:
        assert ONCE_TTL - 10 < await log.client.ttl(log.names.once("room", key)) <= ONCE_TTL


async def test_a_server_that_forgot_the_scripts_gets_them_again(own_log: Log) -> None:
    """A restart or SCRIPT FLUSH goes unnoticed."""
    first = await own_log.publish(b"one")
    await own_log.client.script_flush()
    await own_log.publish(b"two")
    await own_log.client.script_flush()
    assert await own_log.recover(first) == [b"two"]
