import asyncio
from unittest.mock import Mock

import pytest
from aiohttp import StreamReader, web
from aiohttp.test_utils import make_mocked_request

from common.errors import BadRequestError, RequestError
from publisher.api.http_request import check_json, is_form, query_of


def request(content_type: str = "", *, target: str = "/pub", body: bytes = b"x") -> web.Request:
    """Return a request that carries a body, or none if it is empty."""
    payload = StreamReader(Mock(), 1000, loop=asyncio.get_running_loop())
    if body:
        payload.feed_data(body)
    payload.feed_eof()
    return make_mocked_request("POST", target, {"Content-Type": content_type} if content_type else {}, payload=payload)


@pytest.mark.parametrize(
    ("content_type", "body", "form"),
    [
        ("application/x-www-form-urlencoded", b"x", True),
        ("application/x-www-form-urlencoded; charset=utf-8", b"x", True),
        ("application/json", b"x", False),
        ("application/json", b"", False),
        ("text/plain", b"x", False),
        ("text/plain", b"", True),
        ("", b"", True),
        ("", b"x", False),
    ],
)
async def test_a_form_is_told_by_its_content_type(content_type: str, body: bytes, form: bool) -> None:
    """Without a body a request is a form whatever it says, unless it says JSON."""
    assert is_form(request(content_type, body=body)) is form


async def test_json_has_an_empty_query() -> None:
    """Two places for the same fields are refused, and so is a body that is not JSON."""
    check_json(request("application/json"))
    with pytest.raises(BadRequestError, match="the query string must be empty"):
        check_json(request("application/json", target="/pub?id=1"))
    with pytest.raises(RequestError, match="content-type: must be application/json or") as caught:
        check_json(request("text/plain"))
    assert caught.value.status == 415


async def test_the_query_is_what_was_sent() -> None:
    """Percent signs stay, and bytes that are not UTF-8 are not replaced."""
    assert query_of(request(target="/pub?id=%C3%BC&content=%FF")) == b"id=%C3%BC&content=%FF"
    assert query_of(request(target="/pub?id=\udcff")) == b"id=\xff"
    assert query_of(request(target="/pub")) == b""
