"""The HTTP around the framings' bytes: chunks, heads and errors."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.framing.http import LAST_CHUNK, REASONS, Variant, change_response, chunk, error_response, response_head
from tests.edge.framing.reading import read_chunks, read_response


@given(st.lists(st.binary()))
def test_chunks_join_to_what_was_chunked(parts: list[bytes]) -> None:
    """An independent decoder gives the concatenation back, and sees the end only where the end was written."""
    body = b"".join(map(chunk, parts))
    assert read_chunks(body) == (b"".join(parts), False)
    assert read_chunks(body + LAST_CHUNK) == (b"".join(parts), True)


def test_nothing_gives_no_chunk() -> None:
    """An empty chunk would be the last one, so there is none."""
    assert chunk(b"") == b""


@pytest.mark.parametrize(
    ("data", "encoded"),
    [(b"x", b"1\r\nx\r\n"), (b"\r\n", b"2\r\n\r\n\r\n"), (b"a" * 255, b"ff\r\n" + b"a" * 255 + b"\r\n")],
)
def test_a_chunk_is_its_size_and_its_bytes(data: bytes, encoded: bytes) -> None:
    """The size is hexadecimal and counts neither line break."""
    assert chunk(data) == encoded


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        (Variant(), {"access-control-allow-origin": "*"}),
        (Variant(origin=""), {}),
        (
            Variant(origin="https://a.example"),
            {
                "access-control-allow-origin": "https://a.example",
                "access-control-allow-credentials": "true",
                "vary": "Origin",
            },
        ),
        (Variant(origin="", closing=True), {"connection": "close"}),
        (Variant(closing=True), {"access-control-allow-origin": "*", "connection": "close"}),
    ],
)
def test_a_head_says_which_pages_may_read_it_and_what_becomes_of_the_connection(
    variant: Variant, expected: dict[str, str]
) -> None:
    """CORS names all, one (which caches must know) or none; only a closing answer has Connection: close."""
    assert read_response(response_head(200, (), variant)).headers == expected


@pytest.mark.parametrize("status", sorted(REASONS))
def test_every_status_can_be_answered(status: int) -> None:
    """Each status has its reason phrase, and an error's body is one line of JSON of the length it says."""
    answer = read_response(error_response(status, "that's wrong", Variant()))
    assert answer.status_line == f"HTTP/1.1 {status} {REASONS[status]}"
    assert answer.headers["content-length"] == str(len(answer.body))
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.body.endswith(b"\n")
    assert answer.body.count(b"\n") == 1
    assert json.loads(answer.body) == {"type": "error", "code": status, "content": "that's wrong"}


def test_an_error_to_head_has_no_body() -> None:
    """HEAD gets the head alone."""
    answer = read_response(error_response(405, "no", Variant(), ("Allow: GET, OPTIONS",), body=False))
    assert answer.body == b""
    assert answer.headers["allow"] == "GET, OPTIONS"


def test_an_error_keeps_its_extra_headers() -> None:
    """Retry-After and Allow stand beside what every answer has."""
    answer = read_response(error_response(503, "later", Variant(closing=True), ("Retry-After: 3",)))
    assert (answer.headers["retry-after"], answer.headers["connection"]) == ("3", "close")


@given(st.text(st.characters(exclude_categories=("Cs",))))
def test_a_sentence_cannot_break_out_of_an_error(sentence: str) -> None:
    """Whatever a sentence repeats from the request stays inside one JSON string."""
    answer = read_response(error_response(400, sentence, Variant()))
    assert json.loads(answer.body)["content"] == sentence
    assert answer.body.count(b"\n") == 1


@pytest.mark.parametrize(
    ("most", "body"),
    [(39, b'{"type":"ack","channels":["a","room"]}\n'), (38, b'{"type":"ack"}\n')],
)
def test_an_acknowledgement_lists_the_channels_if_there_is_room(most: int, body: bytes) -> None:
    """A request of a few bytes must not bring the longest names of all channels."""
    assert change_response(["a", "room"], Variant(), most).endswith(b"\r\n\r\n" + body)
