"""A posted change: its session in the path, a header or the body, and its operations."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import BadRequestError
from edge.protocol.http import parse_request
from edge.protocol.posted import read_change
from tests.edge.http_client import head

PING = {"op": "ping"}
BY_BODY = {"session": "a.secret", "ops": [PING]}


def change(path: str, body: object, *headers: str, most: int = 4) -> tuple[str, list[object]]:
    """Read a POST."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = parse_request(head(path, f"Content-Length: {len(data)}", *headers, method="POST"))
    return read_change(request, data, most)


@pytest.mark.parametrize(
    ("path", "headers", "body"),
    [
        ("/sub/a.secret", (), [PING]),
        ("/sub/a%2Esecret", (), [PING]),
        ("/sub", ("Comet-Session: a.secret",), [PING]),
        ("/sub", ("COMET-SESSION:a.secret ",), PING),
        ("/sub", ("Comet-Session: a.secret", "Comet-Session: a.secret"), PING),
        ("/sub/", ("Comet-Session: a.secret",), PING),
        ("/sub", (), BY_BODY),
        ("/sub", (), {"session": "a.secret", "ops": PING}),
        ("/sub", ("Comet-Session:",), BY_BODY),
        ("/sub", ("Comet-Session: a.secret",), {"ops": [PING]}),
        ("/sub/a.secret", ("Comet-Session: a.secret",), BY_BODY),
        ("/sub/a.secret", (), {"session": "", "ops": [PING]}),
    ],
)
def test_a_session_stands_in_the_path_a_header_or_the_body(path: str, headers: tuple[str, ...], body: object) -> None:
    """Once, or several times the same."""
    assert change(path, body, *headers) == ("a.secret", [PING])


@pytest.mark.parametrize("body", [b"", b"[]", b'{"session":"a.secret","ops":[]}'])
def test_one_that_brings_a_token_may_have_no_operations(body: bytes) -> None:
    """Without a token there has to be one."""
    request = parse_request(head("/sub/a.secret", f"Content-Length: {len(body)}", method="POST"))
    assert read_change(request, body, 4, needs_operations=False) == ("a.secret", [])
    with pytest.raises(BadRequestError):
        read_change(request, body, 4)


@pytest.mark.parametrize(
    ("path", "headers", "body"),
    [
        ("/sub", (), [PING]),
        ("/sub", (), PING),
        ("/sub/", (), PING),
        ("/sub", ("Comet-Session:",), {"session": "", "ops": [PING]}),
        ("/sub", (), {"ops": [PING]}),
        ("/sub?session=a.secret", (), PING),
        ("/sub", (), {"op": "ping", "session": "a.secret"}),
    ],
)
def test_without_a_session_the_ways_to_give_one_are_named(path: str, headers: tuple[str, ...], body: object) -> None:
    """A query is none of them: it stands in logs as a path does."""
    with pytest.raises(BadRequestError) as caught:
        change(path, body, *headers)
    assert caught.value.status == 400
    assert all(
        way in caught.value.sentence for way in ("Comet-Session", '{"session":"SESSION","ops":[', "/sub/SESSION")
    )


@pytest.mark.parametrize(
    ("path", "headers", "body"),
    [
        ("/sub/b.other", ("Comet-Session: a.secret",), [PING]),
        ("/sub/b.other", (), BY_BODY),
        ("/sub", ("Comet-Session: b.other",), BY_BODY),
        ("/sub/a.secret", ("Comet-Session: b.other",), BY_BODY),
        ("/sub", ("Comet-Session: b.other", "Comet-Session: a.secret"), [PING]),
    ],
)
def test_two_different_sessions_are_refused(path: str, headers: tuple[str, ...], body: object) -> None:
    """It is not clear which one is meant, and neither is repeated."""
    with pytest.raises(BadRequestError, match="Comet-Session") as caught:
        change(path, body, *headers)
    assert "secret" not in caught.value.sentence
    assert "other" not in caught.value.sentence


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({"session": 7, "ops": [PING]}, "session: "),
        ({"session": None, "ops": [PING]}, "session: "),
        ({"session": "a.secret"}, "ops: "),
        ({"session": "a.secret", "ops": []}, "1 to 4 operations"),
        ({"session": "a.secret", "ops": [PING] * 5}, "COMET_MAX_OPERATIONS"),
        ({}, "Comet-Session"),
        ([], "Comet-Session"),
        (b"", "JSON"),
        (b'{"session":"a.secret","ops":[{"op":"ping"}]', "JSON"),
        (b'{"session":"\\ud800","ops":[{"op":"ping"}]}', "Comet-Session"),
    ],
)
def test_a_body_that_is_wrong_is_refused(body: object, word: str) -> None:
    """The sentence names the field."""
    with pytest.raises(BadRequestError, match=word):
        change("/sub", body)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["session", "ops", "op"]), inner),
    )
)
def test_any_body_gives_a_session_and_operations_or_a_sentence(body: object) -> None:
    """Whatever a client sends."""
    session, values = "", [None]
    with suppress(BadRequestError):
        session, values = change("/sub", body)
    assert len(values) > 0
    assert not session or (isinstance(body, dict) and session == body["session"])
