"""A token in its parts, and what is none."""

import json

import pytest

from edge.tokens.compact import MAX_BYTES, check_size, read_object, split_token
from edge.tokens.grant import TokenError, TokenReason
from tests.edge.tokens.making import base64url, signed, token

HEADER = '{"alg": "HS256"}'


def refused(text: str) -> str:
    """Return why a text is no token."""
    with pytest.raises(TokenError) as caught:
        read_object(split_token(text).payload, "payload")
    assert (caught.value.reason, caught.value.status) == (TokenReason.MALFORMED, 401)
    return caught.value.sentence


def test_a_token_is_split() -> None:
    """The payload is not read before the signature is checked."""
    parts = split_token(token({"sub": "bob"}, kid="one"))
    assert (parts.algorithm, parts.key_id, len(parts.signature)) == ("HS256", "one", 32)
    assert read_object(parts.payload, "payload") == {"sub": "bob"}
    assert parts.signed.decode() == token({"sub": "bob"}, kid="one").rpartition(".")[0]


@pytest.mark.parametrize("text", ["", ".", "..", "a.b", "a.b.c.d", "a.b.c.d.e", " a.b.c", "a.b.c\n", "a.b.c=", "a.+.c"])
def test_three_parts_of_base64url(text: str) -> None:
    """Nothing more and nothing else."""
    assert refused(text) == "token: a token is three parts of base64url with dots between them; send it as it was made"


def test_each_token_has_one_spelling() -> None:
    """The last character of a signature of 32 bytes has two bits that say nothing; they must be 0."""
    good = token()
    others = [good[:-1] + letter for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"]
    same = [text for text in others if not _is_refused(text) and split_token(text) == split_token(good)]
    assert same == [good]


def _is_refused(text: str) -> bool:
    try:
        split_token(text)
    except TokenError:
        return True
    return False


@pytest.mark.parametrize(
    "header", ["[]", "null", '"x"', "{", " ", '{"alg": NaN}', '{"alg":"HS256","alg":"none"}', "\xff"]
)
def test_a_header_is_an_object(header: str) -> None:
    """Read as JSON, in which a name stands once."""
    assert "its header is not" in refused(f"{base64url(header.encode('latin-1'))}.e30.")


@pytest.mark.parametrize(
    "header",
    [{"crit": ["exp"]}, {"crit": []}, {"b64": False}, {"b64": True}, {"b64": False, "crit": ["b64"]}, {"zip": "DEF"}],
)
def test_what_asks_for_more_is_refused(header: dict[str, object]) -> None:
    """RFC 7515 section 4.1.11, RFC 7797."""
    assert "is not understood here" in refused(signed(json.dumps({"alg": "HS256", **header}), "{}"))


@pytest.mark.parametrize("value", [1, None, ["a"], {"a": 1}, "x" * 256])
@pytest.mark.parametrize("name", ["alg", "kid"])
def test_algorithm_and_key_are_short_texts(name: str, value: object) -> None:
    """What they say is compared, never looked up elsewhere."""
    assert f"'{name}' in its header must be a text" in refused(signed(json.dumps({"alg": "HS256", name: value}), "{}"))


@pytest.mark.parametrize(
    "payload",
    [
        '{"exp": 1, "exp": 2}',
        '{"info": {"a": 1, "a": 2}}',
        '{"exp": Infinity}',
        '{"exp": 1' + "0" * 5000 + "}",
        "[" * 3000 + "]" * 3000,
        '{"a":' * 1000 + "1" + "}" * 1000,
        "[1]",
        "bob",
        "\ufeff{}",
        '{"sub": "bob"} ,',
    ],
)
def test_claims_are_an_object_in_which_a_name_stands_once(payload: str) -> None:
    """Nested ones, too: which of two counts would be a matter of the reader."""
    assert "its payload is not" in refused(signed(HEADER, payload))


def test_a_long_token_is_not_looked_at() -> None:
    """One of a megabyte costs as much as one of 8,193 bytes."""
    with pytest.raises(TokenError, match="more than 8192 bytes"):
        split_token("x" * 1_000_000)
    check_size("x" * MAX_BYTES)
    for odd in ("ä.b.c", "\ud800.b.c"):
        with pytest.raises(TokenError, match="characters that no token has"):
            check_size(odd)
