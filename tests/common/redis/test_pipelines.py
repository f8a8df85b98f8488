"""Commands that come together go out together: each has its own answer, in order, whatever breaks (PL1 to PL5)."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, cast

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from common.redis import pipelines as pipelines_module
from common.redis import pool as pool_module
from common.redis.answers import WrongAnswerError
from common.redis.client import connect, pool_of
from common.redis.pipelines import MAX_BYTES, MAX_COMMANDS, Command, Pipelines
from tests.common.redis.conftest import Fake

OK, REFUSED, BREAKS_AFTER, BREAKS_BEFORE = "ok", "refused", "breaks after", "breaks before"


def commands(*texts: object) -> list[Command]:
    """Return commands whose fake replies are the texts again."""
    return [Command("GET", ("GET", str(text))) for text in texts]


def soon() -> float:
    """Return a deadline that no test reaches."""
    return asyncio.get_running_loop().time() + 60


class FakeServer:
    """Doubles a pool, its connections and what they lead to: carries out commands in order, each with its fate."""

    def __init__(self, fates: dict[bytes, str]) -> None:
        self.response_callbacks = {"GET": lambda reply: reply}
        self.connection_pool = self
        self.done: list[bytes] = []
        self.pipelines: list[list[bytes]] = []
        self.free = self.most_in_use = self.in_use = 0
        self.go = asyncio.Event()
        self.go.set()
        self.fates = fates

    async def get_connection(self) -> "FakeConnection":
        """Return a connection that nothing else uses."""
        self.in_use += 1
        self.most_in_use = max(self.most_in_use, self.in_use)
        return FakeConnection(self)

    async def release(self, connection: object) -> None:
        """Take one back."""
        self.in_use -= 1


class FakeConnection:
    """One connection, for one pipeline."""

    def __init__(self, server: FakeServer) -> None:
        self._server = server
        self._replies: list[Any] = []

    async def send(self, data: bytes) -> None:
        """Carry out commands up to one that breaks the connection."""
        await self._server.go.wait()
        reader = hiredis.Reader(notEnoughData=None)
        reader.feed(data)
        sent = []
        while (words := reader.gets()) is not None:
            sent.append(words[1])
        self._server.pipelines.append(sent)
        for name in sent:
            fate = self._server.fates.get(name, OK)
            if fate != BREAKS_BEFORE:
                self._server.done.append(name)
            if fate in {BREAKS_BEFORE, BREAKS_AFTER}:
                break
            self._replies.append(name if fate == OK else ResponseError(name.decode()))

    async def receive(self) -> Any:
        """Return the next reply."""
        await asyncio.sleep(0)
        if not self._replies:
            raise RedisConnectionError("it broke")
        return self._replies.pop(0)

    async def disconnect(self, *, nowait: bool) -> None:
        """Do nothing."""


def on_fake(server: FakeServer) -> Pipelines:
    """Return pipelines to a fake server."""
    return Pipelines(cast("Redis", server))


@pytest.fixture(autouse=True)
def fake_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the fake server be a pool."""
    monkeypatch.setattr(pipelines_module, "pool_of", lambda redis: redis.connection_pool)


@given(
    st.lists(
        st.tuples(
            st.lists(st.sampled_from([OK, OK, OK, REFUSED, BREAKS_AFTER, BREAKS_BEFORE]), min_size=1, max_size=5),
            st.integers(0, 4),
        ),
        max_size=12,
    )
)
def test_each_command_has_its_own_answer_in_order_whatever_breaks(plan: list[tuple[list[str], int]]) -> None:
    """Calls come in any rhythm; some commands are refused, some connections break, before a command or after it."""
    names = [[b"%d.%d" % (call, number) for number in range(len(fates))] for call, (fates, _) in enumerate(plan)]
    fates = {
        name: fate for call, (own, _) in zip(names, plan, strict=True) for name, fate in zip(call, own, strict=True)
    }
    server, answers = asyncio.run(run(names, [turns for _, turns in plan], fates))
    sent = [name for pipeline in server.pipelines for name in pipeline]
    assert sent == [name for call in names for name in call], "once, in the order of the calls"
    assert server.most_in_use <= 1
    for pipeline in server.pipelines:
        broken = next((at for at, name in enumerate(pipeline) if fates[name].startswith("breaks")), len(pipeline))
        assert [shown(answers[name]) for name in pipeline] == [
            shown(name if fates[name] == OK else ResponseError(name.decode())) for name in pipeline[:broken]
        ] + ["ConnectionError: it broke"] * (len(pipeline) - broken)


async def run(
    names: list[list[bytes]], turns: list[int], fates: dict[bytes, str]
) -> tuple[FakeServer, dict[bytes, Any]]:
    """Make the calls with so many turns of the loop between them; return the answer to each command."""
    server = FakeServer(fates)
    pipelines = on_fake(server)
    tasks = []
    for call, pause in zip(names, turns, strict=True):
        own = [Command("GET", ("GET", name)) for name in call]
        tasks.append(asyncio.create_task(pipelines.execute(own, soon())))
        for _ in range(pause):
            await asyncio.sleep(0)
    results = await asyncio.gather(*tasks)
    return server, {
        name: one for call, own in zip(names, results, strict=True) for name, one in zip(call, own, strict=True)
    }


def shown(answer: Any) -> Any:
    """Return an answer so that it can be compared."""
    return f"{type(answer).__name__}: {answer}" if isinstance(answer, Exception) else answer


async def test_what_comes_in_one_turn_is_one_pipeline_and_what_comes_meanwhile_the_next() -> None:
    """Nothing waits for a timer, and one connection is in use at a time."""
    server = FakeServer({})
    pipelines = on_fake(server)
    server.go.clear()
    first = [asyncio.create_task(pipelines.execute(commands(number), soon())) for number in range(3)]
    await turns(5)
    later = [asyncio.create_task(pipelines.execute(commands(number), soon())) for number in range(3, 5)]
    await turns(5)
    server.go.set()
    assert await asyncio.gather(*first, *later) == [[b"0"], [b"1"], [b"2"], [b"3"], [b"4"]]
    assert server.pipelines == [[b"0", b"1", b"2"], [b"3", b"4"]]
    assert server.most_in_use == 1


async def turns(count: int) -> None:
    """Let the event loop turn."""
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("calls", "lengths"),
    [
        ([[b"x"] * 100] * 6, [200, 200, 200]),
        ([[b"x"] * (MAX_COMMANDS + 1), [b"x"]], [MAX_COMMANDS + 1, 1]),
        ([[b"x" * MAX_BYTES]] * 2, [1, 1]),
        ([[b"x" * (MAX_BYTES // 4)]] * 4, [3, 1]),
    ],
)
async def test_a_pipeline_has_a_size(calls: list[list[bytes]], lengths: list[int]) -> None:
    """A call is never parted; one that is too large goes alone."""
    server = FakeServer({})
    pipelines = on_fake(server)
    await asyncio.gather(
        *(pipelines.execute([Command("GET", ("GET", name)) for name in call], soon()) for call in calls)
    )
    assert [len(pipeline) for pipeline in server.pipelines] == lengths


async def test_a_pipeline_that_stalls_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next goes out on another connection; the first gets its answers when they come."""
    monkeypatch.setattr(pipelines_module, "STALL", 0.01)
    server = FakeServer({})
    pipelines = on_fake(server)
    stalled, server.go = server.go, asyncio.Event()
    stalled.clear()
    server.go = stalled
    first = asyncio.create_task(pipelines.execute(commands("first"), soon()))
    await turns(5)
    server.go = asyncio.Event()
    server.go.set()
    assert await pipelines.execute(commands("second"), soon()) == [b"second"]
    assert not first.done()
    stalled.set()
    assert await first == [b"first"]
    assert await pipelines.execute(commands("third"), soon()) == [b"third"]


async def test_without_an_answer_in_time_each_call_has_its_own_end_and_what_waits_is_not_sent() -> None:
    """What was not sent by then never is."""
    server = FakeServer({})
    pipelines = on_fake(server)
    server.go.clear()
    now = asyncio.get_running_loop().time()
    first = asyncio.create_task(pipelines.execute(commands(1), now + 0.02))
    await turns(5)
    (waiting,) = await pipelines.execute(commands(2), now + 0.01)
    assert isinstance(waiting, RedisTimeoutError)
    assert not first.done()
    (late,) = await first
    assert isinstance(late, RedisTimeoutError)
    server.go.set()
    assert await pipelines.execute(commands(3), soon()) == [b"3"]
    assert server.done == [b"1", b"3"]


async def test_one_who_waits_no_more_takes_nobody_along() -> None:
    """A request that was cancelled is not sent if it has not been, and the others are answered."""
    server = FakeServer({})
    pipelines = on_fake(server)
    server.go.clear()
    tasks = [asyncio.create_task(pipelines.execute(commands(number), soon())) for number in range(2)]
    await turns(5)
    waiting = asyncio.create_task(pipelines.execute(commands(2), soon()))
    await turns(5)
    tasks[0].cancel()
    waiting.cancel()
    await turns(5)
    server.go.set()
    assert await tasks[1] == [b"1"]
    assert server.done == [b"0", b"1"]


async def test_at_the_end_nobody_is_left_waiting() -> None:
    """What is under way is given up, and what waits has its error at once."""
    server = FakeServer({})
    pipelines = on_fake(server)
    server.go.clear()
    tasks = [asyncio.create_task(pipelines.execute(commands(1), soon()))]
    await turns(5)
    tasks.append(asyncio.create_task(pipelines.execute(commands(2), soon())))
    await turns(5)
    await pipelines.aclose()
    assert [shown(one) for (one,) in await asyncio.gather(*tasks)] == ["ConnectionError: the pipeline was given up"] * 2


def numbers(words: Sequence[bytes]) -> bytes:
    """Answer any command with a number."""
    return b":1\r\n"


def answering(*answers: bytes) -> Callable[[Sequence[bytes]], bytes]:
    """Answer the first publishes so, all that follow with 2, and what connections begin with with 1."""
    rest = iter(answers)
    return lambda words: next(rest, b":2\r\n") if words[0] == b"PUBLISH" else b":1\r\n"


PUBLISHES = [Command("PUBLISH", ("PUBLISH", "room", "x"))] * 3


@pytest.fixture
def real(monkeypatch: pytest.MonkeyPatch) -> Callable[[Redis], Pipelines]:
    """Return what makes pipelines on a real client."""
    monkeypatch.setattr(pipelines_module, "pool_of", pool_of)
    return Pipelines


async def test_a_connection_that_rested_is_replaced_before_a_pipeline(
    fake: Fake, real: Callable[[Redis], Pipelines], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As before any command: a NAT may have forgotten it. One that did not rest is used again."""
    server, where = await fake(numbers)
    async with connect(f"redis://{where}") as client:
        pipelines = real(client)
        assert await pipelines.execute(PUBLISHES, soon()) == [1, 1, 1]
        assert await pipelines.execute(PUBLISHES, soon()) == [1, 1, 1]
        assert server.connections == 1
        monkeypatch.setattr(pool_module, "MAX_REST", 0.01)
        await asyncio.sleep(0.02)
        assert await pipelines.execute(PUBLISHES, soon()) == [1, 1, 1]
        assert server.connections == 2


@pytest.mark.parametrize("error", ["READONLY no", "LOADING yet", "CLUSTERDOWN no", "MOVED 1 127.0.0.1:1"])
async def test_a_server_that_cannot_serve_is_left_and_told(
    fake: Fake, real: Callable[[Redis], Pipelines], error: str
) -> None:
    """The next pipeline looks the address up again."""
    server, where = await fake(lambda words: b"-%b\r\n" % error.encode())
    async with connect(f"redis://{where}") as client:
        told: list[bool] = []
        pool_of(client).on_suspect = lambda: told.append(True)
        pipelines = real(client)
        results = await pipelines.execute(PUBLISHES, soon())
        assert all(isinstance(result, ResponseError | RedisConnectionError) for result in results)
        assert told
        server.answer = numbers
        assert await pipelines.execute(PUBLISHES, soon()) == [1, 1, 1]
        assert server.connections == 2


async def test_a_refusal_of_one_is_no_refusal_of_others(fake: Fake, real: Callable[[Redis], Pipelines]) -> None:
    """Out of memory, a key of another kind: the connection stays."""
    server, where = await fake(answering(b":1\r\n", b"-OOM no\r\n", b":1\r\n"))
    async with connect(f"redis://{where}") as client:
        pipelines = real(client)
        one, two, three = await pipelines.execute(PUBLISHES, soon())
        assert (one, three) == (1, 1)
        assert isinstance(two, ResponseError)
        assert not isinstance(two, ReadOnlyError)
        assert await pipelines.execute(PUBLISHES, soon()) == [2, 2, 2]
        assert server.connections == 1


async def test_a_reply_of_another_kind_ends_the_connection(fake: Fake, real: Callable[[Redis], Pipelines]) -> None:
    """What was read before it stands; nothing after it can be believed."""
    server, where = await fake(answering(b":1\r\n", b"$1\r\nx\r\n", b":1\r\n"))
    async with connect(f"redis://{where}") as client:
        pipelines = real(client)
        one, two, three = await pipelines.execute(PUBLISHES, soon())
        assert one == 1
        assert isinstance(two, WrongAnswerError)
        assert isinstance(three, WrongAnswerError)
        assert await pipelines.execute(PUBLISHES, soon()) == [2, 2, 2]
        assert server.connections == 2


async def test_a_server_that_falls_silent_is_given_up_and_told(
    fake: Fake, real: Callable[[Redis], Pipelines], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it has answered stands; the next pipeline has a connection of its own."""
    monkeypatch.setattr(pipelines_module, "COMMAND_TIMEOUT", 0.05)
    server, where = await fake(answering(b":1\r\n", b"", b""))
    async with connect(f"redis://{where}") as client:
        told: list[bool] = []
        pool_of(client).on_suspect = lambda: told.append(True)
        pipelines = real(client)
        one, two, three = await pipelines.execute(PUBLISHES, soon())
        assert one == 1
        assert isinstance(two, TimeoutError)
        assert isinstance(three, TimeoutError)
        assert told == [True]
        assert await pipelines.execute(PUBLISHES, soon()) == [2, 2, 2]
        assert server.connections == 2


async def test_no_server_is_an_error_for_each(real: Callable[[Redis], Pipelines]) -> None:
    """And the time that it took is not observed."""
    observed: list[float] = []
    async with connect("redis://127.0.0.1:1") as client:
        results = await Pipelines(client, observed.append).execute(PUBLISHES, soon())
        assert [type(result) for result in results] == [RedisConnectionError] * 3
        assert observed == []
