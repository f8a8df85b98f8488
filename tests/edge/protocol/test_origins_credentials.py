"""CORS on the wire: pages that send cookies, pages without an origin, and headers that other programs add."""

import pytest

from common.errors import SettingsError
from common.settings import load_settings
from edge.framing.http import Variant, preflight
from edge.protocol.origins import Origins
from tests.edge.edge_without_redis import edge_without_redis
from tests.edge.framing.reading import read_response
from tests.edge.http_client import head

HOME, EVIL = "https://app.example", "https://evil.example"
CREDENTIALS = "access-control-allow-credentials"
TARGETS = ["/poll?id=room&timeout=0", "/nowhere", "/poll?id=room&since=x"]
TRACING = ["traceparent", "tracestate", "baggage", "sentry-trace", "x-datadog-trace-id", "newrelic", "b3"]
LIBRARIES = ["x-requested-with", "pragma", "if-modified-since"]


@pytest.mark.parametrize("target", TARGETS)
async def test_a_page_on_the_list_may_send_cookies(target: str) -> None:
    """For a balancer's sticky cookie: answers and errors name the page and allow credentials, and so do preflights."""
    async with edge_without_redis(allowed_origins=(HOME,)) as edge:
        client = await edge.connect()
        for method in ("OPTIONS", "GET"):
            answer = await client.ask(head(target, f"Origin: {HOME}", "Cookie: a=b", method=method))
            assert answer.headers["access-control-allow-origin"] == HOME
            assert answer.headers[CREDENTIALS] == "true"
            assert answer.headers["vary"] == "origin"


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("method", ["GET", "OPTIONS", "DELETE"])
async def test_a_foreign_page_reads_no_answer(target: str, method: str) -> None:
    """Not an error either, whichever fault comes first."""
    async with edge_without_redis(allowed_origins=(HOME,)) as edge:
        client = await edge.connect()
        answer = await client.ask(head(target, f"Origin: {EVIL}", method=method))
        assert answer.status >= 400
        assert not {"access-control-allow-origin", CREDENTIALS} & set(answer.headers)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("method", ["GET", "OPTIONS", "DELETE"])
async def test_without_a_list_everybody_reads_and_nobody_has_credentials(target: str, method: str) -> None:
    """`*` in answers and in errors: browsers send no cookies for it."""
    async with edge_without_redis() as edge:
        client = await edge.connect()
        answer = await client.ask(head(target, f"Origin: {EVIL}", method=method))
        assert answer.headers["access-control-allow-origin"] == "*"
        assert CREDENTIALS not in answer.headers


async def test_null_is_an_origin_only_where_it_is_on_the_list() -> None:
    """It is what a sandboxed frame sends, and a page from a file."""
    for allowed, status in (((HOME,), 403), ((HOME, "null"), 200)):
        async with edge_without_redis(allowed_origins=allowed) as edge:
            client = await edge.connect()
            answer = await client.ask(head(TARGETS[0], "Origin: null"))
            assert answer.status == status
            assert answer.headers.get("access-control-allow-origin") == ("null" if status == 200 else None)


def test_null_can_be_set_and_is_no_ancestor() -> None:
    """A policy would take it for the name of a host."""
    assert load_settings(allowed_origins=f"{HOME},null").allowed_origins == (HOME, "null")
    assert Origins((HOME, "null")).ancestors == f"'self' {HOME}"
    with pytest.raises(SettingsError):
        load_settings(allowed_origins=f"{HOME},nullify")


@pytest.mark.parametrize("asked", [*TRACING, *LIBRARIES, ",".join(TRACING), ", ".join(LIBRARIES)])
async def test_a_page_may_send_what_its_programs_add(asked: str) -> None:
    """Tracers and HTTP libraries add headers to every request; a preflight that lacks one stops the page."""
    async with edge_without_redis() as edge:
        client = await edge.connect()
        lines = (f"Origin: {EVIL}", "Access-Control-Request-Method: GET", f"Access-Control-Request-Headers: {asked}")
        answer = await client.ask(head("/sse?id=room", *lines, method="OPTIONS"))
    assert answer.status == 204
    allowed = set(answer.headers["access-control-allow-headers"].split(", "))
    assert set(asked.replace(" ", "").split(",")) <= allowed
    assert {"authorization", "cache-control", "comet-session", "content-type", "last-event-id"} <= allowed


@pytest.mark.parametrize("asked", ["", ",", "a b", "x:y", "a;b", "(x)", "\xe4", "AUTHORIZATION"])
def test_what_is_no_name_of_a_header_is_not_repeated(asked: str) -> None:
    """Nor is a name that is there already."""
    answer = read_response(preflight(asked, Variant()))
    allowed = answer.headers["access-control-allow-headers"]
    assert allowed == "Authorization, Cache-Control, Comet-Session, Content-Type, Last-Event-ID"
