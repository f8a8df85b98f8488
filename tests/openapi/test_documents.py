"""The documents are those that are served, and describe every route of each port and nothing else."""

from collections.abc import Iterable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from common.errors import CometError
from common.service.admin import AdminServer
from common.settings import load_settings
from edge.app import Edge
from openapi_json import ROOT, SERVED, as_json
from publisher.app import Publisher
from tests.openapi.documents import (
    EDGE_INTERNAL,
    PUBLISHER,
    PUBLISHER_INTERNAL,
    Operation,
    document,
    operations,
    references,
    resolved,
)

NO_REDIS = "redis://127.0.0.1:1"
ALL = [operation for page in SERVED for operation in operations(page)]


@pytest.mark.parametrize("page", SERVED)
def test_what_is_served_is_what_the_page_gives(page: str) -> None:
    """A page that was changed is written anew by `make openapi`."""
    assert (ROOT / SERVED[page]).read_text() == as_json(ROOT / page)


@pytest.mark.parametrize("page", SERVED)
def test_every_reference_leads_somewhere(page: str) -> None:
    """And every component is referred to."""
    found = document(page)
    used = set(references(found))
    for reference in used:
        assert resolved(found, {"$ref": reference})
    kinds = ("responses", "headers", "schemas")
    made = {f"#/components/{kind}/{name}" for kind in kinds for name in found["components"].get(kind, ())}
    assert made == used


def served(router: web.UrlDispatcher) -> set[str]:
    """Return method and path of each route; a HEAD is added to each GET by aiohttp, and is not listed."""
    routes = ((route.method, route.resource) for route in router.routes())
    return {f"{method} {resource.canonical}" for method, resource in routes if resource and method != "HEAD"}


def described(page: str) -> set[str]:
    """Return method and path of each operation of a page."""
    return {str(operation) for operation in operations(page)}


@asynccontextmanager
async def routers() -> Any:
    """Yield the routers of a publisher's two ports and an edge's internal port."""
    where = {"redis_url": NO_REDIS, "edge_host": "127.0.0.1"}
    ports = dict.fromkeys(("publisher_port", "publisher_admin_port", "edge_port", "edge_admin_port"), 0)
    settings = load_settings(**where, **ports, demo=True)
    publisher, edge = Publisher(settings), Edge(settings)
    await publisher.start()
    await edge.start()
    try:
        yield {
            PUBLISHER: router_of(publisher),
            PUBLISHER_INTERNAL: router_of(publisher._admin),
            EDGE_INTERNAL: router_of(edge._admin),
        }
    finally:
        await edge.stop()
        await publisher.stop()


def router_of(server: Publisher | AdminServer) -> web.UrlDispatcher:
    """Return the routes of what listens."""
    assert server._runner is not None
    return server._runner.app.router


async def test_every_route_is_described_and_nothing_else() -> None:
    """Of the publisher's port, and of both internal ports."""
    async with routers() as found:
        for page in SERVED:
            assert described(page) == served(found[page]), page


@pytest.mark.parametrize("operation", ALL, ids=str)
def test_every_example_of_an_answer_has_its_request(operation: Operation) -> None:
    """By its name, except for states of the server, and the answer to a request without parameters."""
    states = {"key_missing", "key_wrong", "redis_down"}
    plain = operation.answered().keys() - states - set(operation.asked())
    assert len(plain) <= 1, plain


@pytest.mark.parametrize("operation", ALL, ids=str)
def test_every_refusal_is_an_error_object_or_a_sentence(operation: Operation) -> None:
    """`{"type":"error","code":…,"content":…}`, and the sentence alone in plain text."""
    schemas = {"application/json": "Error", "text/plain": "Sentence"}
    for status in operation.statuses:
        if status[0] in "45" and operation.path != "/readyz":
            content = operation.response(status)["content"]
            assert content
            for content_type, media in content.items():
                assert media["schema"] == {"$ref": f"#/components/schemas/{schemas[content_type]}"}


def test_a_name_is_said_to_matter_where_it_does() -> None:
    """Not for the demo and for files; on internal ports for orders only."""
    for page in SERVED:
        under_any = {str(operation) for operation in operations(page) if "421" not in operation.statuses}
        if page == PUBLISHER:
            demo = {"GET /", "GET /chat", "GET /demo/config.json", "POST /demo/pub"}
            assert under_any == demo | {"GET /static/{name}"}
        else:
            assert under_any == {each for each in described(page) if each.startswith("GET ")}


def statuses_of(errors: Iterable[type[Any]]) -> Iterator[int]:
    """Yield the status of each error, and of those that are made of it."""
    for error in errors:
        yield from (error.__dict__["status"],) if "status" in error.__dict__ else ()
        yield from statuses_of(error.__subclasses__())


def test_every_status_that_the_publisher_can_answer_is_described() -> None:
    """One that is new among the errors of the project is missed here."""
    (publish,) = (operation for operation in ALL if str(operation) == "POST /pub")
    known = {int(status) for status in publish.statuses if status.isdigit()}
    assert set(statuses_of([CometError])) <= known
