"""The grammar of a request head, line by line."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import RequestError
from edge.protocol.syntax import check_fields, check_host, check_line, malformed, origin_form


def refusal_of_line(line: bytes) -> tuple[int, str]:
    """Return the status and the sentence that a first line is refused with."""
    with pytest.raises(RequestError) as caught:
        check_line(line)
    return caught.value.status, caught.value.sentence


@pytest.mark.parametrize("line", [b"GET / HTTP/1.1", b"M-SEARCH * HTTP/1.0", b"GET /<|>?a=%zz#b HTTP/1.1"])
def test_a_first_line_has_three_words(line: bytes) -> None:
    """Whether method and target are known is asked later."""
    check_line(line)


@pytest.mark.parametrize("line", [b"GET /", b"GET / HTTP/0.9", b"GET / HTTP/1.2", b"PRI * HTTP/2.0"])
def test_another_version_is_named(line: bytes) -> None:
    """It is 505, and a line without a version is HTTP/0.9."""
    status, sentence = refusal_of_line(line)
    assert status == 505
    assert "HTTP/1.1" in sentence


@given(st.binary(max_size=40))
def test_any_other_line_is_refused(line: bytes) -> None:
    """Nothing passes but what the grammar allows (RFC 9112 section 3)."""
    try:
        check_line(line)
    except RequestError:
        return
    assert re.fullmatch(rb"[A-Z-]+ [\x21-\x7e]+ HTTP/1\.[01]", line)


@pytest.mark.parametrize("block", [b"\r\n", b"A: b\r\n\r\n", b"A:\r\nb:\t\xff \r\n\r\n", b"!#$%&'*+-.^_`|~: x\r\n\r\n"])
def test_header_lines_are_names_and_values(block: bytes) -> None:
    """A name is a token, a value has no control characters (RFC 9110 section 5)."""
    check_fields(block)


@pytest.mark.parametrize(
    ("block", "word"),
    [
        (b"A: b\r\n c\r\n\r\n", "blank"),
        (b"\tA: b\r\n\r\n", "blank"),
        (b"A: b\nC: d\r\n\r\n", "CR LF"),
        (b"A: b\rC: d\r\n\r\n", "CR LF"),
        (b"A : b\r\n\r\n", "NAME: VALUE"),
        (b"A\r\n\r\n", "NAME: VALUE"),
        (b": b\r\n\r\n", "NAME: VALUE"),
        (b"A: \0\r\n\r\n", "NAME: VALUE"),
        (b"A: b\r\n\r\nC: d\r\n\r\n", "NAME: VALUE"),
    ],
)
def test_another_header_line_is_told_what_is_wrong(block: bytes, word: str) -> None:
    """The sentence has the rule that is broken, and not the bytes that break it."""
    with pytest.raises(RequestError) as caught:
        check_fields(block)
    assert caught.value.status == 400
    assert word in caught.value.sentence


@pytest.mark.parametrize("value", ["", "a", "a.example:80", "my_service", "[::1]", "[fe80::1%25eth0]:80", "127.0.0.1:"])
def test_a_host_is_a_name_or_an_address(value: str) -> None:
    """Underscores are in the names of services; an empty one is allowed."""
    check_host(value)


@pytest.mark.parametrize("value", ["a b", "a/b", "a@b", "a, b", "a:b", "a:123456", "::1", "[::1", "\xe9", "a\\b"])
def test_another_host_is_refused(value: str) -> None:
    """RFC 9112 section 3.2: a server must refuse an invalid one."""
    with pytest.raises(RequestError, match="Host"):
        check_host(value)


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/a?b", b"/a?b"),
        (b"//a", b"//a"),
        (b"http://a/b?c", b"/b?c"),
        (b"HTTPS://a:1/b", b"/b"),
        (b"http://a", b"/"),
        (b"http://a?b", b"/?b"),
        (b"http://[::1]/b", b"/b"),
    ],
)
def test_a_target_is_read_from_its_path_on(target: bytes, path: bytes) -> None:
    """A whole URL is as good as its path and query."""
    assert origin_form(target, "GET") == path


@pytest.mark.parametrize(
    "target", [b"", b"a", b"*", b"a:80", b"?a", b"http:/a", b"http:///a", b"ftp://a/", b"http://a@b"]
)
def test_another_target_is_refused(target: bytes) -> None:
    """Only OPTIONS may ask about the server as a whole."""
    with pytest.raises(RequestError, match="target"):
        origin_form(target, "GET")
    assert origin_form(b"*", "OPTIONS") == b"*"


def test_what_is_malformed_says_so() -> None:
    """All such errors are 400 and begin alike."""
    assert malformed("why").status == 400
    assert malformed("why").sentence == "this is not a well-formed HTTP/1.1 request: why"
