"""The library of Redis Functions, and the text for EVAL that does the same."""

import asyncio

from hypothesis import example, given
from hypothesis import strategies as st
from redis import Redis

from common.message import Message, decode
from common.position import Position
from common.redis.client import connect
from common.scripts.library import Deployment, deployments_in, functions_text, lua_string
from tests.common.scripts.comet_publish import (
    NAMES,
    PREFIX,
    ByFunction,
    check_refused,
    everything,
    install,
)
from tests.common.scripts.real_log import Listener, Log


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


async def test_what_it_sends_is_what_it_stores(valkey_url: str, prefix: str) -> None:
    """A subscriber gets the frame, and a reader of the log the same message."""
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
    """Each publisher adds its deployment to the function, and removes no other."""
    by_function = ByFunction(redis)
    assert by_function(["other:room"], "x" * 10)[1] == 0
    check_refused(by_function, ["other:room"], "x" * 11, about="the message has 11 bytes, at most 10")
    assert by_function([f"{PREFIX}room"], "x" * 11)[1] == 0


def test_a_name_belongs_to_the_longest_prefix(redis: Redis, url: str) -> None:
    """A deployment whose prefix begins with another's is still found."""
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
