import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from common.errors import BadRequestError
from common.names import RedisNames, channel_fault, check_channel


# The rule of DESIGN section 3 once more, written another way than the code does.
def is_forbidden(character: str) -> bool:
    """Say whether no channel's name may have a character."""
    return character in "{}!*" or character.isspace() or unicodedata.category(character) == "Cc"


SENTENCE = "(no white space, control characters, '{', '}', '!' or '*')"
NAMES = st.text(st.characters(exclude_characters="{}!*", exclude_categories=["C", "Z"]), min_size=1, max_size=60)
ANY_TEXT = st.text(st.characters(codec=None)) | st.text("ab1-_.:/ é€\x00\n\x85\u2028{}!*\ud800", max_size=300)
PREFIXES = st.sampled_from(["comet:", "t", "ü:", "a:b:"])


def obeys_the_rules(name: str) -> bool:
    """Say whether DESIGN section 3 allows a name."""
    try:
        return 1 <= len(name.encode()) <= 255 and not any(map(is_forbidden, name))
    except UnicodeEncodeError:
        return False


@given(ANY_TEXT)
@example("a" * 255)
@example("a" * 256)
@example("é" * 127 + "a")
@example("é" * 128)
@example("\x1c")
def test_every_string_is_either_a_legal_name_or_refused(text: str) -> None:
    """Nothing but BadRequestError ever comes out, and exactly the strings that obey the rules pass, unchanged."""
    try:
        accepted = check_channel(text) == text
    except BadRequestError:
        accepted = False
    assert accepted == obeys_the_rules(text)


@pytest.mark.parametrize(
    "name", ["1", "room", "a.b-c_d:e/f", "-", "...", "комната", "部屋", "🎈", "a=b&c", "a%20b", "@#$'\""]
)
def test_ordinary_names_pass(name: str) -> None:
    """Letters of any script, digits and punctuation make a name."""
    assert check_channel(name) == name


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("", "id: a channel name is missing; write for example ?id=room"),
        ("a" * 256, "id: a channel name has at most 255 bytes, this one has 256"),
        ("é" * 128, "id: a channel name has at most 255 bytes, this one has 256"),
        ("a b", f"id: ' ' is not allowed in a channel name {SENTENCE}"),
        ("a\n", f"id: '\\n' is not allowed in a channel name {SENTENCE}"),
        ("a\x00b", f"id: '\\x00' is not allowed in a channel name {SENTENCE}"),
        ("a\u2028b", f"id: '\\u2028' is not allowed in a channel name {SENTENCE}"),
        ("a\x85b", f"id: '\\x85' is not allowed in a channel name {SENTENCE}"),
        ("{a}", f"id: '{{' is not allowed in a channel name {SENTENCE}"),
        ("a}", f"id: '}}' is not allowed in a channel name {SENTENCE}"),
        ("!probe:me", f"id: '!' is not allowed in a channel name {SENTENCE}"),
        ("news.*", f"id: '*' is not allowed in a channel name {SENTENCE}"),
        ("a\udcff", "id: a channel name must be valid UTF-8"),
    ],
)
def test_a_refusal_says_what_is_wrong(name: str, sentence: str) -> None:
    """Each wrong name gets one sentence that names the field and the fault."""
    with pytest.raises(BadRequestError) as caught:
        check_channel(name)
    assert caught.value.sentence == sentence
    assert caught.value.status == 400


@given(PREFIXES, NAMES)
def test_a_pubsub_channel_leads_back_to_its_name(prefix: str, name: str) -> None:
    """`name_of` is the inverse of `channel`, whatever the prefix."""
    names = RedisNames(prefix)
    assert names.name_of(names.channel(name)) == name


def test_the_names_in_redis_are_those_of_the_wire_format() -> None:
    """Backends that talk to Redis themselves rely on these names."""
    names = RedisNames("comet:")
    assert names.channel("room") == b"comet:room"
    assert names.log("room") == "{comet:room}:log"
    assert names.top("room") == "{comet:room}:top"
    assert names.once("room", "order-7") == "{comet:room}:once:order-7"
    assert names.inbox("p1") == b"comet:!inbox:p1"
    assert names.probe("e1") == b"comet:!probe:e1"


@given(NAMES, st.text(st.characters(codec="utf-8")))
def test_all_keys_of_a_channel_have_the_slot_of_its_bare_name(name: str, key: str) -> None:
    """Redis Cluster hashes what stands between the first braces, and that is the pub/sub channel itself."""
    names = RedisNames("comet:")
    for redis_key in (names.log(name), names.top(name), names.once(name, key)):
        assert redis_key[1 : redis_key.index("}")].encode() == names.channel(name)


@given(NAMES, st.text("ab:", max_size=5))
def test_no_channel_can_be_a_control_name(name: str, owner: str) -> None:
    """Inboxes and probes cannot be reached by any legal channel name."""
    names = RedisNames("comet:")
    assert names.channel(check_channel(name)) not in (names.inbox(owner), names.probe(owner))


def test_a_pubsub_channel_that_is_not_utf8_leads_to_no_name() -> None:
    """Found by fuzzing: what nobody here has subscribed to was an error with a traceback. No channel has this name."""
    name = RedisNames("comet:").name_of(b"comet:\xff")
    with pytest.raises(BadRequestError):
        check_channel(name)


@pytest.mark.parametrize(
    ("name", "fault"), [("room", ""), ("a b", "' ' is not allowed"), ("", "a channel name is missing")]
)
def test_the_fault_of_a_name_is_told_without_the_field_of_a_request(name: str, fault: str) -> None:
    """A setting or a claim names its own."""
    assert channel_fault(name).startswith(fault)
    assert bool(channel_fault(name)) is bool(fault)
