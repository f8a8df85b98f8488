"""Letting go of channels on a real Valkey: names that nobody published to leave nothing, everything else stays."""

from redis.exceptions import ClusterCrossSlotError

from common.names import RedisNames
from common.scripts.calls import DAY, Scripts
from common.scripts.results import SyncQuery
from common.settings import load_settings
from tests.common.scripts.real_log import Listener, Log, fill_memory


async def test_a_channel_without_messages_leaves_nothing(log: Log) -> None:
    """Neither one that was read nor one that was joined; one that was never there is no error."""
    await log.scripts.sync([SyncQuery("room"), SyncQuery("joined", known=0)])
    assert len(await log.keys()) == 2
    await log.scripts.release(["room", "joined", "unknown"])
    assert await log.keys() == []


async def test_a_channel_that_another_edge_has_stays(log: Log) -> None:
    """Its subscribers go on from the position that they have."""
    genesis = await log.top()
    async with Listener(log):
        await log.scripts.release(["room"])
    assert await log.top() == genesis


async def test_a_channel_with_messages_keeps_its_position_for_long(log: Log) -> None:
    """It lingers as promised, even if who stored its message did not see to that."""
    await log.top()
    last = await log.publish(b"one")
    await log.client.expire(log.top_key, 7)
    await log.scripts.release(["room"])
    assert DAY - 5 < await log.client.ttl(log.top_key) <= DAY
    assert await log.top() == last


async def test_a_key_of_another_program_stays(log: Log) -> None:
    """It is left alone, and the other channels of the call are let go of."""
    await log.client.set(log.top_key, "x")
    await log.scripts.sync([SyncQuery("other")])
    await log.scripts.release(["room", "other"])
    assert await log.keys() == [log.top_key.encode()]


async def test_out_of_memory_channels_are_let_go_of(own_log: Log) -> None:
    """It frees what they took."""
    await own_log.top()
    await fill_memory(own_log)
    await own_log.scripts.release(["room"])
    assert await own_log.keys() == []


async def test_in_cluster_mode_each_slot_is_a_call(log: Log) -> None:
    """A server in cluster mode takes the keys of one slot in each call."""
    scripts = Scripts(log.client, RedisNames("t:"), load_settings())
    calls: list[list[bytes]] = []

    async def release(keys: list[bytes], args: list[int]) -> None:
        calls.append(keys)
        if len(keys) > 1:
            raise ClusterCrossSlotError

    scripts._release = release  # type: ignore[assignment]
    await scripts.release(["a", "b"])
    assert calls == [[b"t:a", b"t:b"], [b"t:a"], [b"t:b"]]
