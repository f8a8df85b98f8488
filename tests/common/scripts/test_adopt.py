"""Joining and adopting on a real Valkey: which edge waits for which, and what a log knows after wipes and rollbacks."""

import pytest

from common.message import Join, Message, decode
from common.position import START
from common.scripts.results import Adopted, AdoptionState, Bare, SyncQuery, SyncResult
from tests.common.scripts.real_log import Listener, Log, set_clock

pytestmark = pytest.mark.usefixtures("clock_in_a_key")
NOW = 1_795_000_000_000  # milliseconds


@pytest.fixture
async def log(own_log: Log) -> Log:
    """Return a channel of its own Valkey, where it is NOW."""
    await wait_until(own_log, 0)
    return own_log


async def wait_until(log: Log, milliseconds: int) -> None:
    """Let some time have passed since NOW."""
    await set_clock(log.client, (NOW + milliseconds) * 1000)


async def join(log: Log) -> int:
    """Join as an edge does; return the epoch."""
    (synced,) = await log.scripts.sync([SyncQuery(log.channel, None, known=0)])
    assert isinstance(synced, SyncResult)
    return synced.epoch


async def adopt(log: Log, first: int, epoch: int, number: int, payload: bytes = b"bare") -> Adopted:
    """Hand in one message, as an edge that joined with epoch `first`."""
    return await log.scripts.adopt(log.channel, first, [Bare(epoch, number, payload)])


DONE = Adopted(1, AdoptionState.DONE)
WAIT = Adopted(0, AdoptionState.WAIT)
SKIPPED = Adopted(0, AdoptionState.SKIPPED)


async def test_epochs_begin_at_the_clock_and_every_edge_is_told(log: Log) -> None:
    """So no epoch is ever used again, whatever becomes of the log; each join is seen among the messages."""
    async with Listener(log) as listener:
        epochs = [await join(log), await join(log)]
        await log.client.delete(log.top_key)
        await wait_until(log, 50)
        epochs += [await join(log)]
        assert [decode(frame) for frame in await listener.received()] == [Join(epoch) for epoch in epochs]
    assert epochs == [NOW + 1, NOW + 2, NOW + 51]


async def test_each_number_is_stored_once(log: Log) -> None:
    """The first edge has it stored and sent; for the others it is done."""
    async with Listener(log) as listener:
        epoch = await join(log)
        for number in (1, 1, 2, 1, 2, 3):
            assert await adopt(log, epoch, epoch, number, b"%d" % number) == DONE
        frames = [decode(frame) for frame in await listener.received()]
    assert await log.recover(START) == [b"1", b"2", b"3"]
    assert [frame.payload for frame in frames if isinstance(frame, Message)] == [b"1", b"2", b"3"]


async def test_an_edge_that_joins_later_waits_for_the_older_and_not_for_ever(log: Log) -> None:
    """Half a second after its join it goes on, or when an older one that waited as long has gone first."""
    async with Listener(log):
        await join(log)
        async with Listener(log):
            older, younger = await join(log), await join(log)
            for at, of_younger, of_older in ((499, WAIT, WAIT), (500, WAIT, DONE), (501, DONE, DONE)):
                await wait_until(log, at)
                assert await adopt(log, younger, younger, 1) == of_younger
                assert await adopt(log, older, older, 1) == of_older


async def test_the_younger_waits_a_tenth_longer_for_each_older_one(log: Log) -> None:
    """If these are gone, and it is up to ten of them."""
    async with Listener(log):
        await join(log)
        async with Listener(log):
            epochs = [await join(log) for _ in range(12)]
            for behind, longest in ((1, 600), (8, 1300), (9, 1400), (11, 1400)):
                for at, outcome in ((longest - 1, WAIT), (longest, DONE)):
                    before = await log.client.dump(log.top_key)
                    assert before is not None
                    await wait_until(log, at)
                    assert await adopt(log, epochs[behind], epochs[behind], 1) == outcome
                    await log.client.restore(log.top_key, 0, before, replace=True)


async def test_an_older_edge_lets_the_younger_go_on(log: Log) -> None:
    """As soon as it hands in a message of the younger one's epoch, everything before is complete."""
    async with Listener(log):
        old = await join(log)
        async with Listener(log):
            young = await join(log)
            assert await adopt(log, young, young, 1, b"two") == WAIT
            assert await adopt(log, old, old, 1, b"one") == DONE
            assert await adopt(log, young, young, 1, b"two") == WAIT
            assert await adopt(log, old, young, 1, b"two") == DONE
            assert await adopt(log, young, young, 1, b"two") == DONE
    assert await log.recover(START) == [b"one", b"two"]


async def test_an_edge_that_is_alone_does_not_wait(log: Log) -> None:
    """No other edge has seen anything."""
    async with Listener(log):
        await join(log)
        again = await join(log)
        assert await adopt(log, again, again, 1) == DONE


async def test_the_first_of_several_waits_for_a_tenth_of_a_second(log: Log) -> None:
    """The log may be new, and then no edge was there before; or it was wiped, and others hand in what they held."""
    async with Listener(log), Listener(log):
        epoch = await join(log)
        await wait_until(log, 99)
        assert await adopt(log, epoch, epoch, 1) == WAIT
        await wait_until(log, 100)
        assert await adopt(log, epoch, epoch, 1) == DONE


@pytest.mark.parametrize(("joins", "outcome"), [(40, DONE), (255, DONE), (256, SKIPPED), (300, SKIPPED)])
async def test_nothing_is_called_done_that_is_not_stored(log: Log, joins: int, outcome: Adopted) -> None:
    """What an edge held while very many others joined is stored, or it is told to send it out live."""
    epoch = await join(log)
    for _ in range(joins):
        await join(log)
    assert await adopt(log, epoch, epoch, 1) == outcome
    assert await log.recover(START) == [b"bare"] * outcome.done


async def test_a_count_is_remembered_over_many_joins(log: Log) -> None:
    """An edge that was away does not have stored again what others have handed in."""
    epoch = await join(log)
    await adopt(log, epoch, epoch, 1)
    for _ in range(255):
        await join(log)
    assert await adopt(log, epoch, epoch, 1) == DONE
    await join(log)
    assert await adopt(log, epoch, epoch, 1) == SKIPPED
    assert await log.recover(START) == [b"bare"]


async def test_a_channel_remembers_only_so_much_of_its_joins(log: Log) -> None:
    """However many there are, the hash stays small."""
    async with Listener(log), Listener(log):
        for _ in range(600):
            epoch = await join(log)
            await adopt(log, epoch, epoch, 1)
        assert await log.client.hlen(log.top_key) <= 5 + 32 + 256  # type: ignore[misc]


async def test_what_redis_refused_is_skipped_by_the_others(log: Log) -> None:
    """Its edge sent it out live, and so shall they; what follows is stored."""
    epoch = await join(log)
    assert await adopt(log, epoch, epoch, 3) == DONE
    assert [await adopt(log, epoch, epoch, number) for number in (1, 2, 3)] == [SKIPPED, SKIPPED, DONE]


@pytest.mark.parametrize("first_comes", ["nothing", "a publish", "a sync", "a join"])
async def test_a_wiped_log_goes_on_with_the_count_of_the_edges(log: Log, first_comes: str) -> None:
    """They are connected and count on: what they hand in is stored once, and not taken for something older."""
    async with Listener(log), Listener(log):
        epoch = await join(log)
        await wait_until(log, 200)
        for number in range(1, 4):
            await adopt(log, epoch, epoch, number)
        await log.client.delete(log.top_key, log.log_key)
        if first_comes == "a publish":
            await log.publish(b"framed")
        elif first_comes != "nothing":
            await log.scripts.sync([SyncQuery(log.channel, None, known=0 if first_comes == "a join" else None)])
        for number in (4, 4, 5, 3, 4, 6):
            assert await adopt(log, epoch, epoch, number, b"%d" % number) == DONE
        assert await join(log) > NOW + 200
    assert await log.recover(START) == [b"framed"] * (first_comes == "a publish") + [b"4", b"5", b"6"]


async def test_after_a_wipe_an_edge_that_is_ahead_loses_nothing_of_one_behind(log: Log) -> None:
    """What one edge had stored before the wipe, another still holds: it is lost with the log, or stored again, once."""
    epoch = await join(log)
    for number in range(1, 6):
        await adopt(log, epoch, epoch, number)
    await log.client.delete(log.top_key, log.log_key)
    handed_in = [(3, b"3"), (6, b"6"), (4, b"4"), (5, b"5"), (6, b"6"), (7, b"7")]
    assert [await adopt(log, epoch, epoch, *each) for each in handed_in] == [DONE] * 6
    assert await log.recover(START) == [b"3", b"6", b"7"]


async def test_a_log_that_went_back_goes_on_with_the_count_of_the_edges(log: Log) -> None:
    """Restored from an older dump it does not know the newest epochs; no later one is taken for them."""
    await join(log)
    dump = await log.client.dump(log.top_key) or b""
    first, _, newest = [await join(log) for _ in range(3)]
    await adopt(log, first, newest, 1, b"gone")
    await log.client.restore(log.top_key, 0, dump, replace=True)
    await log.client.delete(log.log_key)
    await wait_until(log, 200)
    assert [await adopt(log, first, newest, 2, b"two") for _ in range(2)] == [DONE, DONE]
    assert await join(log) > NOW + 200
    assert await log.recover(START) == [b"two"]


HOUR = 3_600_000


async def test_no_edge_waits_for_a_clock_that_was_set_back(log: Log) -> None:
    """Redis' clock may be set back an hour after an edge has joined: it does not wait for that hour to pass."""
    async with Listener(log):
        await join(log)
        async with Listener(log):
            young = await join(log)
            assert await adopt(log, young, young, 1) == WAIT
            await wait_until(log, -HOUR)
            assert await adopt(log, young, young, 1) == DONE
            again = await join(log)
    assert again == young + 1


async def test_a_wipe_and_a_clock_that_was_set_back_lose_nothing(log: Log) -> None:
    """Epochs of the new log begin lower than the edges have counted; what these hand in puts it right."""
    epoch = await join(log)
    await log.client.delete(log.top_key)
    await wait_until(log, -HOUR)
    assert await join(log) < epoch
    assert await adopt(log, epoch, epoch, 1, b"one") == DONE
    assert await adopt(log, epoch, epoch, 1, b"one") == DONE
    assert await join(log) > epoch
    assert await log.recover(START) == [b"one"]


async def test_a_message_of_an_epoch_that_cannot_be_is_not_stored(log: Log) -> None:
    """An edge of another version may have believed a forged join frame; its messages go out live, and are counted."""
    epoch = await join(log)
    assert await adopt(log, epoch, 10**15, 1) == SKIPPED
    assert await adopt(log, epoch, epoch, 1) == DONE
    assert await join(log) == epoch + 1
