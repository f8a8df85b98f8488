"""A form that was meant as something else is told what is wrong with it."""

import pytest

from common.errors import BadRequestError, RequestError, TooLargeError
from publisher.body.form import read_form
from publisher.request import parse_broadcast, parse_channel, parse_form
from tests.publisher.conftest import Client

LIMIT = 100


@pytest.mark.parametrize("body", [b'{"id":"room","content":"hi"}', b' \n[{"id":"room"}]', b"{}", b"[]"])
def test_json_that_was_sent_as_a_form_is_told_so(body: bytes) -> None:
    """The content type is wrong, not the id: `curl -d` says form unless it is told otherwise."""
    for parse in (
        lambda: parse_form(b"", body, LIMIT),
        lambda: parse_channel(b"", body),
        lambda: parse_broadcast(b"", body, LIMIT, is_json=False),
    ):
        with pytest.raises(RequestError, match=r"^content-type: the body is JSON and was sent as a form") as caught:
            parse()
        assert caught.value.status == 415


@pytest.mark.parametrize("body", [b"id=1&content={}", b"{=1", b"content=%5B%5D", b""])
def test_other_forms_are_forms(body: bytes) -> None:
    """Also those that carry JSON in a field."""
    read_form(b"", body)


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        (b"id[]=room&content=hi", "id: write the name without brackets"),
        (b"id%5B%5D=a&id%5B%5D=b&content=hi", "id: write the name without brackets"),
        (b"id=a&amp;id=b&amp;content=hi", "the URL was escaped for HTML"),
        (b"id=a&amp;content=hi", "the URL was escaped for HTML"),
    ],
)
def test_names_that_a_library_or_a_template_has_changed_are_known(query: bytes, sentence: str) -> None:
    """PHP writes brackets, and a template escapes the URL once too often."""
    with pytest.raises(BadRequestError) as caught:
        parse_form(query, b"", LIMIT)
    assert caught.value.sentence.startswith(sentence)


def test_a_form_that_is_larger_than_its_content_may_be_is_not_read() -> None:
    """Each percent sign costs time: three bytes for each byte of content, and a mebibyte of ids."""
    with pytest.raises(TooLargeError, match="at most 1048876 are read"):
        parse_form(b"id=room", b"content=" + b"%41" * 400_000, LIMIT)
    assert len(parse_form(b"&".join(b"id=%d" % number for number in range(999)), b"content=hi", LIMIT)) == 999


async def test_curl_without_a_content_type_is_told_what_is_missing(client: Client) -> None:
    """Over a real socket, in plain text, for that is what a form gets."""
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer, text = await client.request("POST", "/pub", data=b'{"id":"room","content":"hi"}', headers=headers)
    assert (answer.status, answer.content_type) == (415, "text/plain")
    assert "send Content-Type: application/json" in text
