"""Every example of the documents is sent to real processes, and answered as the document shows."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from openapi_json import SERVED
from tests.cluster.processes import Cluster, Service
from tests.cluster.waiting import STARTING, until
from tests.openapi.asking import EVENTS, Answer, ask, comparable
from tests.openapi.conftest import KEY
from tests.openapi.documents import EDGE_INTERNAL, PUBLISHER, PUBLISHER_INTERNAL, Operation, document, operations

pytest.importorskip("jsonschema", reason="no jsonschema: pip install -e '.[system]' (as make test-system does)")
from jsonschema import Draft202012Validator

pytestmark = pytest.mark.system  # with its processes it takes some seconds

PLAIN = ""  # a request without parameters
KEYS = {"key_missing": {}, "key_wrong": {"Authorization": "Bearer another-key-of-nobody"}}
DOWN = "redis_down"

Ports = Callable[[str], int]
Example = tuple[str, Operation, str]


def examples(*, drain: bool = False) -> list[Example]:
    """Return page, operation and name of each example, of `/drain` or of all else; a page of itself has none."""
    found: list[Example] = []
    for page in SERVED:
        for operation in operations(page):
            if (operation.path == "/drain") is drain:
                names = dict.fromkeys([*operation.asked(), *operation.answered()], page)
                found += [(page, operation, name) for name in names] or [(page, operation, PLAIN)]
    return found


def title(value: object) -> str:
    """Name an example in a test's name."""
    return str(value) or "plain"


def port_in(cluster: Cluster, page: str) -> int:
    """Return the port that a page is about."""
    publisher = cluster.publisher
    ports = {PUBLISHER: publisher.port, PUBLISHER_INTERNAL: publisher.admin_port, EDGE_INTERNAL: cluster.a.admin_port}
    return ports[page]


def check(page: str, operation: Operation, name: str, answer: Answer) -> None:
    """Compare an answer with its example, and its body with its schema."""
    shown = operation.answered().get(name)
    assert shown is None or comparable(answer) == comparable(shown)
    assert shown is not None or answer.status == 200
    response = operation.response(str(answer.status))
    media = response["content"][answer.content_type]
    value = answer.text if not answer.content_type.endswith("json") else json.loads(answer.text)
    for each in (value, *((shown.value,) if shown else ())):
        validate(page, media["schema"], each)
    for header, about in response.get("headers", {}).items():
        assert header.lower() in answer.headers or not about.get("required")


def validate(page: str, schema: dict[str, Any], value: Any) -> None:
    """Raise an error if a value is not as a schema of a page says."""
    Draft202012Validator(schema | {"components": document(page)["components"]}).validate(value)


@pytest.mark.usefixtures("audience")
@pytest.mark.parametrize(
    ("page", "operation", "name"), [each for each in examples() if each[2] not in {*KEYS, DOWN}], ids=title
)
def test_the_example_is_answered_so(cluster: Cluster, page: str, operation: Operation, name: str) -> None:
    """One subscriber of `room` on each of two edges, none of any other channel."""
    check(page, operation, name, ask(port_in(cluster, page), operation, name))


@pytest.mark.parametrize(("page", "operation", "name"), [each for each in examples() if each[2] in KEYS], ids=title)
def test_without_the_key_it_is_answered_so(guarded: Service, page: str, operation: Operation, name: str) -> None:
    """A publisher that has keys; with the right one the same request is not refused for it."""
    request = [*operation.asked(), PLAIN][0]
    check(page, operation, name, ask(guarded.port, operation, request, KEYS[name]))
    assert ask(guarded.port, operation, request, {"Authorization": f"Bearer {KEY}"}).status in {200, 404}


@pytest.mark.parametrize(("page", "operation", "name"), [each for each in examples() if each[2] == DOWN], ids=title)
def test_while_redis_is_down_it_is_answered_so(
    lonely_publisher: Service, lonely_edge: Service, page: str, operation: Operation, name: str
) -> None:
    """A process that has no Redis lives, and answers at once."""
    ports = {PUBLISHER: lonely_publisher.port, PUBLISHER_INTERNAL: lonely_publisher.admin_port}
    port = ports.get(page, lonely_edge.admin_port)
    check(page, operation, name, ask(port, operation, [*operation.asked(), PLAIN][0]))


def test_the_order_to_drain_is_answered_so(ending: Cluster) -> None:
    """In the order of the pages: a process that was told to end, ends."""
    for page, operation, name in examples(drain=True):
        if name not in KEYS:
            check(page, operation, name, ask(port_in(ending, page), operation, name))
    for service in ending.services:
        assert service.ended(STARTING) == 0


def test_what_needs_no_key_is_described_so(guarded: Service) -> None:
    """Without a key, everything that has `security: []` is answered, and nothing else."""
    for operation in operations(PUBLISHER):
        answer = ask(guarded.port, operation, [*operation.asked(), PLAIN][0])
        assert (answer.status == 401) is ("401" in operation.statuses), operation


def test_each_port_serves_its_own_document(cluster: Cluster) -> None:
    """At `/openapi.json`, without a key."""
    for page in SERVED:
        (operation,) = (each for each in operations(page) if each.path == "/openapi.json")
        answer = ask(port_in(cluster, page), operation, PLAIN)
        assert json.loads(answer.text) == document(page)


def test_a_tail_is_the_only_answer_without_an_end(cluster: Cluster) -> None:
    """So a generated request to it is not waited for."""
    until(lambda: cluster.publisher.ready)
    endless = [str(each) for each in operations(PUBLISHER) if EVENTS in each.response("200").get("content", {})]
    assert endless == ["GET /admin/tail"]
