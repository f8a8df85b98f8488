"""Reading the logs of many channels in batches."""

import asyncio
from collections.abc import Callable, Sequence

import pytest
from redis import RedisError
from redis.exceptions import NoPermissionError

from common.scripts.results import SyncOutcome, SyncQuery, SyncResult, Unreadable
from edge.channels.sync import MAX_CALLS, LogReader, SyncRequest
from edge.channels.sync import MAX_CHANNELS_PER_CALL as BATCH
from tests.edge.http_client import PATIENCE
from tests.edge.usual_log import at

BROKEN = Unreadable("WRONGTYPE Operation against a key holding the wrong kind of value")


class PausedSyncScript:
    """A sync that waits until the test lets it go on; each call can be answered or failed."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self._results: list[asyncio.Future[list[SyncOutcome]]] = []

    async def sync(self, wanted: Sequence[SyncQuery]) -> list[SyncOutcome]:
        """Note the call and wait."""
        self.calls.append(
            [query.channel if query.offset is None else f"{query.channel} after {query.offset}" for query in wanted]
        )
        self._results.append(asyncio.get_running_loop().create_future())
        return await self._results[-1]

    async def called(self, times: int) -> None:
        """Wait for the n-th call."""
        async with asyncio.timeout(PATIENCE):
            while len(self.calls) < times:  # noqa: ASYNC110  # a look at a list: there is no event to wait for
                await asyncio.sleep(0)

    async def answer(self, call: int = -1) -> None:
        """Answer a call, the last unless told: every log stands at offset 5, but one called `broken` cannot be read."""
        readings = [BROKEN if name.startswith("broken") else SyncResult(at(5), []) for name in self.calls[call]]
        self._results[call].set_result(readings)
        for _ in range(5):
            await asyncio.sleep(0)

    async def fail(self, error: Exception, call: int = -1) -> None:
        """Fail a call, the last unless told."""
        self._results[call].set_exception(error)
        for _ in range(5):
            await asyncio.sleep(0)


@pytest.fixture
def script() -> PausedSyncScript:
    """Return a sync script that waits."""
    return PausedSyncScript()


@pytest.fixture
def answered() -> list[str]:
    """Return a list for the names of requests that were answered."""
    return []


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a failed read be retried at once."""
    monkeypatch.setattr("edge.channels.sync.RETRY_PAUSE", 0)


def sync_request(name: str, answered: list[str], offset: int | None = None) -> SyncRequest:
    """Return a request that notes its answer."""
    return SyncRequest(SyncQuery(name, offset), lambda synced: answered.append(f"{name} at {synced and synced.top}"))


async def test_a_channel_that_is_refused_is_told_and_not_read_again(answered: list[str]) -> None:
    """Redis has no room for it; the other channels of the call are answered."""

    async def sync(wanted: Sequence[SyncQuery]) -> list[SyncOutcome]:
        reads.append(len(wanted))
        return [Unreadable("OOM", is_refused=True) if one.channel == "new" else SyncResult(at(5), []) for one in wanted]

    reads: list[int] = []
    log_reader = LogReader(sync)
    for name in ("new", "known"):
        log_reader.ask(sync_request(name, answered))
    await asyncio.sleep(0.01)
    assert (answered, reads) == (["new at None", f"known at {at(5)}"], [2])


async def test_a_reader_that_repeats_nothing_says_so(answered: list[str]) -> None:
    """A channel that cannot be read is answered with nothing, and keeps no other one waiting."""

    async def sync(wanted: Sequence[SyncQuery]) -> list[SyncOutcome]:
        answered.append(f"read {[query.channel for query in wanted]}")
        return [Unreadable("foreign data") for _ in wanted]

    reader = LogReader(sync, max_channels=1, repeats=False)
    for name in ("a", "b"):
        reader.ask(SyncRequest(SyncQuery(name, 0), lambda result, name=name: answered.append(f"{name}: {result}")))
    async with asyncio.timeout(5):
        while len(answered) < 4:  # noqa: ASYNC110  # a look at a list
            await asyncio.sleep(0)
    await asyncio.sleep(0.1)
    assert sorted(answered) == ["a: None", "b: None", "read ['a']", "read ['b']"]


async def test_the_requests_of_one_turn_are_one_read(script: PausedSyncScript, answered: list[str]) -> None:
    """What is asked for together goes out together and is answered in order."""
    log_reader = LogReader(script.sync)
    log_reader.ask(sync_request("a", answered))
    log_reader.ask(sync_request("b", answered, 3))
    await script.called(1)
    await script.answer()
    assert script.calls == [["a", "b after 3"]]
    assert answered == ["a at 5-105", "b at 5-105"]


async def test_requests_during_a_read_wait_for_the_next(script: PausedSyncScript, answered: list[str]) -> None:
    """One read is under way at a time; the next takes everything that came meanwhile."""
    log_reader = LogReader(script.sync)
    log_reader.ask(sync_request("a", answered))
    await script.called(1)
    log_reader.ask(sync_request("b", answered))
    log_reader.ask(sync_request("c", answered))
    await script.answer()
    await script.called(2)
    await script.answer()
    assert script.calls == [["a"], ["b", "c"]]
    assert len(answered) == 3


async def test_a_batch_is_bounded(script: PausedSyncScript, answered: list[str]) -> None:
    """Thousands of requests do not hold Redis up with one script call, nor with many at the same time."""
    log_reader = LogReader(script.sync)
    for number in range((MAX_CALLS + 1) * BATCH + 1):
        log_reader.ask(sync_request(str(number), answered))
    await script.called(MAX_CALLS)
    assert [len(call) for call in script.calls] == [BATCH] * MAX_CALLS
    await script.answer(0)
    await script.answer(1)
    assert [len(call) for call in script.calls[MAX_CALLS:]] == [BATCH, 1]
    for call in range(2, MAX_CALLS + 2):
        await script.answer(call)
    assert len(answered) == (MAX_CALLS + 1) * BATCH + 1


async def test_a_batch_that_failed_is_read_before_those_that_came_later(
    script: PausedSyncScript, answered: list[str]
) -> None:
    """While one batch fails another is answered; the failed one is not lost."""
    log_reader = LogReader(script.sync)
    for number in range(BATCH + 1):
        log_reader.ask(sync_request(str(number), answered))
    await script.called(2)
    await script.fail(RedisError("LOADING"), call=0)
    await script.called(3)
    log_reader.ask(sync_request("late", answered))
    await script.answer(1)
    await script.answer(2)
    await script.called(4)
    await script.answer(3)
    assert script.calls[2] == script.calls[0]
    assert script.calls[3] == ["late"]
    assert len(answered) == BATCH + 2


async def test_a_request_of_an_answer_is_read_too(script: PausedSyncScript, answered: list[str]) -> None:
    """What gets an answer may ask again at once."""
    log_reader = LogReader(script.sync)
    log_reader.ask(SyncRequest(SyncQuery("a"), lambda synced: log_reader.ask(sync_request("again", answered))))
    await script.called(1)
    await script.answer()
    await script.called(2)
    await script.answer()
    assert answered == ["again at 5-105"]


@pytest.mark.parametrize("error", [RedisError("LOADING"), OSError("connection refused"), TimeoutError()])
async def test_a_failed_read_is_repeated(script: PausedSyncScript, answered: list[str], error: Exception) -> None:
    """When Redis fails nothing is lost: the same requests go out again, before those that came later."""
    log_reader = LogReader(script.sync)
    log_reader.ask(sync_request("a", answered))
    await script.called(1)
    log_reader.ask(sync_request("b", answered))
    await script.fail(error)
    await script.called(2)
    await script.answer()
    assert script.calls == [["a"], ["a", "b"]]
    assert answered == ["a at 5-105", "b at 5-105"]


async def test_what_is_forgotten_is_not_read(script: PausedSyncScript, answered: list[str]) -> None:
    """What was queued on a lost connection is asked for no more; later requests are served as ever."""
    log_reader = LogReader(script.sync)
    log_reader.ask(sync_request("old", answered))
    log_reader.forget()
    log_reader.ask(sync_request("new", answered))
    await script.called(1)
    await script.answer()
    assert script.calls == [["new"]]


async def test_what_is_forgotten_during_a_read_is_not_repeated(script: PausedSyncScript, answered: list[str]) -> None:
    """A read that fails after its requests were forgotten is not tried again."""
    log_reader = LogReader(script.sync)
    log_reader.ask(sync_request("old", answered))
    await script.called(1)
    log_reader.forget()
    log_reader.ask(sync_request("new", answered))
    await script.fail(RedisError("connection lost"))
    await script.called(2)
    await script.answer()
    assert script.calls == [["old"], ["new"]]
    assert answered == ["new at 5-105"]


async def test_a_channel_that_cannot_be_read_keeps_no_other_waiting(
    script: PausedSyncScript, answered: list[str]
) -> None:
    """The others of its batch are answered at once; it is asked for again by itself."""
    log_reader = LogReader(script.sync)
    for name in ("a", "broken", "b"):
        log_reader.ask(sync_request(name, answered))
    await script.called(1)
    await script.answer()
    assert answered == ["a at 5-105", "b at 5-105"]
    await script.called(2)
    log_reader.ask(sync_request("c", answered))
    await script.answer()
    await script.called(3)
    await script.answer()
    assert script.calls[:2] == [["a", "broken", "b"], ["broken"]]
    assert answered == ["a at 5-105", "b at 5-105", "c at 5-105"]


async def test_a_request_that_cannot_be_answered_harms_no_other(script: PausedSyncScript, answered: list[str]) -> None:
    """Whatever is raised while one is answered, the others of its batch are answered; it comes again itself."""
    failures = iter([KeyError("d"), ValueError("1.5")])

    def done(synced: SyncResult) -> None:
        for failure in failures:
            raise failure
        answered.append("at last")

    log_reader = LogReader(script.sync)
    log_reader.ask(SyncRequest(SyncQuery("a"), done))
    log_reader.ask(sync_request("b", answered))
    for call in range(1, 4):
        await script.called(call)
        await script.answer()
    assert script.calls == [["a", "b"], ["a"], ["a"]]
    assert answered == ["b at 5-105", "at last"]


async def test_a_broken_channel_that_nothing_waits_for_is_given_up(
    script: PausedSyncScript, answered: list[str]
) -> None:
    """Once its channel or its subscribers are gone, no read is repeated for them."""
    waiting = [True]
    log_reader = LogReader(script.sync)
    log_reader.ask(SyncRequest(SyncQuery("broken"), lambda synced: None, lambda: bool(waiting)))
    await script.called(1)
    waiting.clear()
    await script.answer()
    for _ in range(5):
        await asyncio.sleep(0)
    log_reader.ask(sync_request("a", answered))
    await script.called(2)
    assert script.calls == [["broken"], ["a"]]


async def test_a_channel_that_cannot_be_read_is_asked_for_less_and_less(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pauses double, up to five seconds: one broken key must not keep Redis busy."""
    pauses: list[float] = []
    monkeypatch.setattr("edge.channels.sync.RETRY_PAUSE", 0.05)
    loop = asyncio.get_running_loop()

    def call_soon(delay: float, callback: Callable[..., None], *arguments: object) -> None:
        pauses.append(delay)
        loop.call_soon(callback, *arguments)

    async def sync(wanted: Sequence[SyncQuery]) -> list[SyncOutcome]:
        return [BROKEN] * len(wanted)

    monkeypatch.setattr(loop, "call_later", call_soon)
    log_reader = LogReader(sync)
    log_reader.ask(SyncRequest(SyncQuery("broken"), lambda synced: None, lambda: len(pauses) < 10))
    while len(pauses) < 10:  # noqa: ASYNC110  # a look at a list: there is no event to wait for
        await asyncio.sleep(0)
    assert pauses == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]


async def test_a_channel_that_redis_forbids_is_found_by_halving(answered: list[str]) -> None:
    """The others of its batch are read; where nothing is allowed, nothing is tried one by one."""
    calls: list[int] = []

    async def sync(wanted: Sequence[SyncQuery]) -> list[SyncOutcome]:
        calls.append(len(wanted))
        if any(each.channel == "forbidden" for each in wanted):
            raise NoPermissionError("No permissions to access a key")
        return [SyncResult(at(5), [])] * len(wanted)

    log_reader = LogReader(sync)
    for number in range(BATCH - 1):
        log_reader.ask(sync_request(str(number), answered))
    log_reader.ask(SyncRequest(SyncQuery("forbidden"), lambda synced: None, lambda: len(answered) < BATCH - 1))
    async with asyncio.timeout(PATIENCE):
        while len(answered) < BATCH - 1:  # noqa: ASYNC110  # a look at a list: there is no event to wait for
            await asyncio.sleep(0)
    assert sorted(calls) == sorted([BATCH, *[size for size in (64, 32, 16, 8, 4, 2, 1) for _ in range(2)]])


async def test_what_redis_forbids_altogether_is_repeated(script: PausedSyncScript, answered: list[str]) -> None:
    """A user that may not run scripts reads nothing; when that is put right the same requests are answered."""
    log_reader = LogReader(script.sync)
    for name in ("a", "b"):
        log_reader.ask(sync_request(name, answered))
    await script.called(1)
    await script.fail(NoPermissionError("this user has no permissions to run the 'evalsha' command"))
    await script.called(2)
    await script.answer()
    assert script.calls == [["a", "b"], ["a", "b"]]
    assert len(answered) == 2
