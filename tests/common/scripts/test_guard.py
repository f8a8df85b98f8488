"""What `comet_publish` refuses before anything is written: all that /pub refuses."""

import unicodedata

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from redis import Redis, ResponseError

from common.errors import BadRequestError
from common.names import check_channel
from publisher.request import MAX_TTL, RESERVED_EVENTS
from tests.common.scripts.comet_publish import LIMIT, PREFIX, ByFunction, Value, check_refused, everything

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
