"""The browser client's own tests, in Chromium: against the fake cluster, and against two real edges."""

import os
import subprocess
from collections.abc import Iterator

import pytest

from tests.browser.control import controlling
from tests.cluster.processes import ROOT, Cluster

pytestmark = pytest.mark.system

CLIENT = ROOT / "clients/js"
VITEST = CLIENT / "node_modules/.bin/vitest"
RUN_TIMEOUT = 600  # seconds for one transport, on a loaded machine


@pytest.fixture(scope="module")  # as the cluster: edges that it starts again end with it
def control(cluster: Cluster) -> Iterator[str]:
    """Yield the address by which the tests in the page publish and kill edges."""
    with controlling(cluster) as url:
        yield url


def run_in_chromium(files: str, environment: dict[str, str]) -> None:
    """Run the client's test files whose names contain `files`."""
    assert VITEST.exists(), "the client's tools are missing; run: make clients/js/node_modules"
    command = [str(VITEST), "run", "--config", "vitest.browser.config.ts", files]
    run = subprocess.run(
        command,
        cwd=CLIENT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=RUN_TIMEOUT,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.timeout(RUN_TIMEOUT + 10)
def test_the_tests_of_node_pass_in_chromium() -> None:
    """The tests against the fake cluster run with a browser's own locks, broadcasts, storage and events."""
    run_in_chromium(".test.ts", {})


@pytest.mark.timeout(RUN_TIMEOUT + 10)
@pytest.mark.parametrize("transport", ["ws", "sse", "stream", "poll", "jsonp"])
def test_the_suite_of_the_client_passes_in_chromium(cluster: Cluster, control: str, transport: str) -> None:
    """The tests of the transports pass in a browser, against real edges that are killed."""
    environment = {
        "VITE_EDGES": ",".join(edge.url for edge in cluster.edges),
        "VITE_CONTROL": control,
        "VITE_TRANSPORTS": transport,
    }
    run_in_chromium(".browser.ts", environment)
