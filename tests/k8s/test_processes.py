"""Real processes with the pods' own arguments and environment: they start, answer every probe, and end in time."""

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.clients import get
from tests.cluster.processes import HOST, Process, Valkey, free_ports
from tests.cluster.waiting import until
from tests.k8s.rendering import Manifest, Rendered, environment, pod_spec, ports_of, rendered
from tests.lb.talking import listening

pytestmark = pytest.mark.system


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    """Return a Valkey, as the pods' Secret would name one."""
    valkey = Valkey(free_ports(1)[0], tmp_path)
    valkey.start()
    yield valkey
    valkey.stop()


@pytest.mark.parametrize("name", ["comet-edge", "comet-publisher"])
def test_a_pod_answers_its_probes_and_ends_in_time(valkey: Valkey, tmp_path: Path, name: str) -> None:
    """What kubelet would ask is answered with 200, and SIGTERM ends it with 0 within the grace period."""
    overlay = rendered("dev")
    workload = overlay.named("Deployment", name)
    (container,) = pod_spec(workload)["containers"]
    ports = dict(zip(ports_of(workload), free_ports(2), strict=True))
    pod = Process(
        name, command(container), variables(overlay, container, ports) | {"COMET_REDIS_URL": valkey.url}, tmp_path
    )
    pod.start()
    try:
        until(lambda: all(map(listening, ports.values())) or (pod.alive and None))
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            asked = container[probe]["httpGet"]
            until(lambda asked=asked: get(ports[asked["port"]], asked["path"]).status == 200)
        assert "is not a setting" not in pod.log
        grace = pod_spec(workload)["terminationGracePeriodSeconds"]
        pod.signal(signal.SIGTERM)
        assert pod.ended(grace - container["lifecycle"]["preStop"]["sleep"]["seconds"]) == 0, pod.log
    finally:
        pod.stop()


def command(container: Manifest) -> list[str]:
    """Return the command that the image's entry point makes of the arguments."""
    return [str(Path(sys.executable).parent / "comet"), *container["args"]]


def variables(overlay: Rendered, container: Manifest, ports: dict[str, int]) -> dict[str, str]:
    """Return a container's environment; but for its ports and hosts: it listens on loopback."""
    given = environment(overlay, container)
    kind = container["args"][0].upper()
    public, internal = ports.values()
    assert given["COMET_ADMIN_HOST"] == "::"
    return given | {
        "COMET_ADMIN_HOST": HOST,
        f"COMET_{kind}_HOST": HOST,
        f"COMET_{kind}_PORT": str(public),
        f"COMET_{kind}_ADMIN_PORT": str(internal),
    }
