"""Contents are handed through: their parts arrive as they were sent, and a broken part costs no other part."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import BadRequestError
from publisher.request import PublishRequest, parse_broadcast, parse_json

LIMIT = 10_000
HALF = "holds half of a character"


def message(content: bytes) -> bytes:
    """Return one message with a content that is written here byte by byte."""
    return b'{"id":"room","content":' + content + b"}"


def payload(content: bytes) -> bytes:
    """Return what is published of a content."""
    (entry,) = parse_json(message(content), LIMIT).entries
    assert isinstance(entry, PublishRequest)
    return entry.payload


@pytest.mark.parametrize(
    "number",
    [
        b"1000000000000000000001",
        b"18446744073709551616",
        b"-9223372036854775809",
        b"12345678901234567890123",
        b"19.999999999999999999",
        b"1e400",
        b"-1E-400",
        b"1.0E+2",
        b"-0",
        b"-0.0",
        b"100.00",
        b"9" * 5000,
    ],
)
def test_a_number_arrives_with_the_digits_it_was_sent_with(number: bytes) -> None:
    """Alone and inside of a value, in a message and in a broadcast."""
    assert payload(number) == number
    assert payload(b'{ "wei" : [' + number + b" ] }") == b'{"wei":[' + number + b"]}"
    broadcast = parse_broadcast(b"", b'{"content":{"wei":' + number + b"}}", LIMIT, is_json=True)
    assert broadcast.payload == b'{"wei":' + number + b"}"


@pytest.mark.parametrize(
    ("sent", "published"),
    [
        (b'[ "a b" , "\\u00e9" ]', b'["a b","\\u00e9"]'),
        (b'{"a":1,"a":2}', b'{"a":1,"a":2}'),
        (b'{\n\t"a \\" [" : {\r\n}\n}', b'{"a \\" [":{}}'),
        (b'"\\ud83d\\ude00"', "😀".encode()),
        (b'"\\\\ud83d"', b"\\ud83d"),
        (b'["\\\\ud83d", "\\ud83d\\uDE00"]', b'["\\\\ud83d","\\ud83d\\uDE00"]'),
    ],
)
def test_other_values_keep_their_spelling_and_lose_white_space(sent: bytes, published: bytes) -> None:
    """Escapes, the order of members and doubled members stay; a string's content is its text."""
    assert payload(sent) == published


CUT = [
    b'"cut \\ud83d"',
    b'"\\ude00\\ud83d"',
    b'"\\ud83d\\ud83d"',
    b'"\\\\ud83d\\ude00"',
    b'["\\uDBFF"]',
    b'{"\\ud83d":1}',
    b'"\\ud83d\\n\\ude00"',
]


@pytest.mark.parametrize("content", CUT)
def test_a_lone_surrogate_costs_its_message(content: bytes) -> None:
    """A single message is refused; in an array the error stands in its place, and the others are published."""
    with pytest.raises(BadRequestError, match=f"^content: {HALF}"):
        parse_json(message(content), LIMIT)
    array = b",".join([message(b'"one \\ud83d\\ude00"'), message(content), message(b'"two"')])
    first, broken, last = parse_json(b"[" + array + b"]", LIMIT).entries
    assert (first, last) == (PublishRequest("room", "one 😀".encode()), PublishRequest("room", b"two"))
    assert isinstance(broken, BadRequestError)
    assert broken.sentence.startswith(f"content: {HALF}")


@pytest.mark.parametrize(
    ("entry", "named"),
    [
        (b'{"id":"\\ud83d","content":"x"}', "id"),
        (b'{"id":"room","content":"x","event":"\\ud83d"}', "event"),
        (b'{"id":"room","content":"x","key":"\\ud83d"}', "key"),
        (b'{"id":"room","content":"x","\\ud83d":1}', "the name of a field"),
        (b'"\\ud83d"', "a message must be a JSON object"),
    ],
)
def test_a_lone_surrogate_elsewhere_costs_its_message_too(entry: bytes, named: str) -> None:
    """The sentence names the field."""
    broken, last = parse_json(b"[" + entry + b"," + message(b'"two"') + b"]", LIMIT).entries
    assert isinstance(broken, BadRequestError)
    assert broken.sentence.startswith(named)
    assert last == PublishRequest("room", b"two")


def test_a_lone_surrogate_in_one_of_the_ids_costs_that_id() -> None:
    """The message goes to the others."""
    first, broken, last = parse_json(b'{"ids":["a","\\ud83d","b"],"content":"x"}', LIMIT).entries
    assert (first, last) == (PublishRequest("a", b"x"), PublishRequest("b", b"x"))
    assert isinstance(broken, BadRequestError)
    assert broken.sentence.startswith("id: ")


def test_a_number_that_a_field_cannot_hold_costs_its_message() -> None:
    """`ttl` is no content: it must be read."""
    array = b'[{"id":"a","content":"x","ttl":1e400},{"id":"b","content":"x","ttl":1.5}]'
    broken, last = parse_json(array, LIMIT).entries
    assert isinstance(broken, BadRequestError)
    assert broken.sentence.startswith("ttl: ")
    assert last == PublishRequest("b", b"x", ttl=1.5)


@pytest.mark.parametrize(
    "body",
    [
        b'{"id":"room","content":"\xff"}',
        b'[{"id":"room","content":"\xed\xa0\xbd"}]',
        message(b"01"),
        message(b"1."),
        message(b"NaN"),
        message(b'"\\x"'),
        message(b'"\n"'),
        message(b'"\\ud83d" "'),
        b"\xef\xbb\xbf" + message(b"1"),
        message(b"1") + b"x",
        b'{"content":1,}',
    ],
)
def test_what_is_not_json_is_refused_as_a_whole(body: bytes) -> None:
    """Bytes that are not UTF-8, and what breaks the grammar, beside a lone surrogate too."""
    with pytest.raises(BadRequestError, match=r"^the body is not JSON: "):
        parse_json(body, LIMIT)


@pytest.mark.parametrize("depth", [1, 253, 254])
def test_a_content_may_be_nested_deeply(depth: int) -> None:
    """Brackets inside of strings do not count."""
    nested = b'{"[[[[":' * depth + b"1" + b"}" * depth
    assert payload(nested) == nested
    assert payload(b"[" + b'"[",' * 300 + b"[]]").startswith(b'["["')


@pytest.mark.parametrize(("depth", "start"), [(255, "content: is nested"), (100_000, "the body is nested")])
def test_a_content_that_is_nested_too_deeply_is_refused(depth: int, start: str) -> None:
    """With a sentence, however deep."""
    with pytest.raises(BadRequestError, match=f"^{start}"):
        parse_json(message(b"[" * depth + b"]" * depth), LIMIT)


FLOATS = st.floats(allow_nan=False, allow_infinity=False)


@given(st.recursive(st.none() | st.booleans() | st.integers() | FLOATS | st.text(), st.lists))
def test_any_value_means_the_same_to_a_subscriber(value: object) -> None:
    """Whichever way a library writes JSON: ASCII only, or with white space."""
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=1)):
        published = payload(text.encode()).decode()
        assert (published if isinstance(value, str) else json.loads(published)) == value


PIECES = st.sampled_from([r"\ud83d", r"\ude00", r"\uDBFF", "\\\\", r"\"", r"\n", r"\u0041", "u", "d83d", "😀", "["])


@given(st.lists(st.lists(PIECES, max_size=8).map("".join), min_size=1, max_size=4))
def test_exactly_the_messages_with_half_a_character_are_errors(texts: list[str]) -> None:
    """Whatever stands before and after it: Python's own reader says which they are."""
    body = ",".join(f'{{"id":"room","content":["{text}"]}}' for text in texts).encode()
    entries = parse_json(b"[" + body + b"]", LIMIT).entries
    for text, entry in zip(texts, entries, strict=True):
        try:
            str(json.loads(f'"{text}"')).encode()
        except UnicodeEncodeError:
            assert isinstance(entry, BadRequestError)
        else:
            assert entry == PublishRequest("room", f'["{text}"]'.encode())


VALUES = st.one_of(
    st.text(max_size=5),
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.lists(st.integers(), max_size=2),
)
FIELDS = st.sampled_from(["id", "channel", "content", "event", "key", "ttl", "receipt", "ephemeral", "ids", "other"])


@given(st.lists(st.tuples(FIELDS, VALUES), max_size=5), st.booleans())
def test_a_message_that_is_read_at_once_is_what_it_is_part_by_part(
    fields: list[tuple[str, object]], ascii_: bool
) -> None:
    """With any fields, also given twice; white space before it has it read part by part."""
    parts = [f"{json.dumps(name)}:{json.dumps(value, ensure_ascii=ascii_)}" for name, value in fields]
    body = ('{"id":"room","content":"hi"' + "".join("," + part for part in parts) + "}").encode(errors="replace")
    assert read(body) == read(b" " + body)


def read(body: bytes) -> object:
    """Return what a body is read as, or what is said of it."""
    try:
        return parse_json(body, LIMIT)
    except BadRequestError as error:
        return error.sentence
