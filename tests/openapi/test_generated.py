"""Requests that schemathesis makes of the documents, right ones and wrong ones, get the answers that these describe.

The requests are the same each time. `/admin/tail` does not end, and `/drain` ends the process: their examples are sent
by test_examples.py.
"""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis.errors import Unsatisfiable

from tests.cluster.processes import Cluster
from tests.cluster.test_not_redis import lines_of_errors
from tests.openapi.documents import EDGE_INTERNAL, PUBLISHER, PUBLISHER_INTERNAL
from tests.openapi.test_examples import port_in

pytestmark = [
    pytest.mark.system,  # it takes half a minute
    pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisDeprecationWarning"),  # of what schemathesis does
]
schemathesis = pytest.importorskip("schemathesis", reason="pip install -e '.[system]' (as make test-system does)")

SEED = 17
EXAMPLES = 25  # of each kind and operation
LEFT_OUT = {"GET /admin/tail", "POST /drain"}
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
)


@pytest.mark.parametrize("kind", ["positive", "negative"])
@pytest.mark.parametrize("page", [PUBLISHER, PUBLISHER_INTERNAL, EDGE_INTERNAL])
def test_generated_requests_are_answered_as_described(cluster: Cluster, page: str, kind: str) -> None:
    """No 5xx, no status, header or content type that is not described, no body that is not as its schema says.

    What the document calls wrong is refused.
    """
    url = f"http://127.0.0.1:{port_in(cluster, page)}"
    schemathesis.checks.load_all_checks()
    checks = schemathesis.checks.CHECKS.get_by_names(CHECKS)
    for found in schemathesis.openapi.from_url(f"{url}/openapi.json").get_all_operations():
        operation = found.ok()
        if operation.label not in LEFT_OUT:
            send_generated(operation, schemathesis.GenerationMode(kind), url, checks)
    for service in cluster.services:
        assert lines_of_errors(service.whole_log) == []


def send_generated(operation: Any, kind: Any, url: str, checks: list[Any]) -> None:
    """Send requests of one operation that hypothesis makes of its schemas; an operation without any is sent once."""

    @seed(SEED)
    @settings(max_examples=EXAMPLES, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=kind))
    def send(case: Any) -> None:
        case.call_and_validate(base_url=url, checks=checks, timeout=8)

    try:
        send()
    except Unsatisfiable:
        assert kind is schemathesis.GenerationMode.NEGATIVE  # nothing can be wrong about a request without parts
