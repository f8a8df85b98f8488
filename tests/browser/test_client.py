"""The browser client's own tests, in Chromium, against two real edges."""

import os
import subprocess
from collections.abc import Iterator

import pytest

from tests.browser.control import controlling
from tests.cluster.processes import ROOT, Cluster

pytestmark = pytest.mark.system

CLIENT = ROOT / "clients/js"
VITEST = CLIENT / "node_modules/.bin/vitest"
PATIENCE = 600  # seconds for one transport on a machine that does ten other things


@pytest.fixture(scope="module")  # as the cluster: edges that it started again end with it
def control(cluster: Cluster) -> Iterator[str]:
    """Yield the address by which the tests in the page publish, and kill edges."""
    with controlling(cluster) as url:
        yield url


@pytest.mark.timeout(PATIENCE + 10)
@pytest.mark.parametrize("transport", ["ws", "sse", "stream", "poll", "jsonp"])
def test_the_suite_of_the_client_holds_in_chromium(cluster: Cluster, control: str, transport: str) -> None:
    """What holds against the fake cluster in Node holds in a browser against edges that are killed."""
    assert VITEST.exists(), "the client's tools are missing; run: make clients/js/node_modules"
    environment = {
        "VITE_EDGES": ",".join(edge.url for edge in cluster.edges),
        "VITE_CONTROL": control,
        "VITE_TRANSPORTS": transport,
    }
    command = [str(VITEST), "run", "--config", "vitest.browser.config.ts"]
    run = subprocess.run(
        command, cwd=CLIENT, env=os.environ | environment, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
