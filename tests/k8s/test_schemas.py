"""Every manifest fits the schema of its kind.

Kinds of Kubernetes are held against the API's own schemas, strictly: a field that does not exist is a fault. The four
kinds that others define have no schema in that package; for them the schemas here say which fields we may use and how.
"""

import copy
from pathlib import Path
from typing import Any

import pytest

from tests.k8s.rendering import K8S, OVERLAYS, Manifest, Rendered, rendered

pytestmark = pytest.mark.system

MINORS = ("1.31", "1.34", "1.37")


def closed(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    """Return the schema of an object with these properties and no others."""
    return {
        "type": "object",
        "properties": required | optional,
        "required": list(required),
        "additionalProperties": False,
    }


def many(items: dict[str, Any], most: int = 16) -> dict[str, Any]:
    """Return the schema of a list that is not empty."""
    return {"type": "array", "items": items, "minItems": 1, "maxItems": most}


TEXT = {"type": "string", "minLength": 1}
COUNT = {"type": "integer", "minimum": 0}
PORT = {"type": "integer", "minimum": 1, "maximum": 65535}
DURATION = {"type": "string", "pattern": r"^([0-9]{1,5}(h|m|s|ms)){1,4}$"}  # GEP-2257
LABELS = {"type": "object", "additionalProperties": {"type": "string"}}
METADATA = closed({"name": TEXT, "namespace": TEXT}, labels=LABELS, annotations=LABELS)
POLICIES = many(closed({"type": {"enum": ["Pods", "Percent"]}, "value": COUNT, "periodSeconds": PORT}))
RULES = closed({"policies": POLICIES}, stabilizationWindowSeconds={"type": "integer", "minimum": 0, "maximum": 3600})

ROUTE = closed(
    {
        "parentRefs": many(closed({"name": TEXT}, namespace=TEXT, sectionName=TEXT)),
        "hostnames": many(TEXT),
        "rules": many(
            closed(
                {
                    "matches": many(
                        closed({"path": closed({"type": {"enum": ["Exact", "PathPrefix"]}, "value": TEXT})}), most=8
                    ),
                    "backendRefs": many(closed({"name": TEXT, "port": PORT})),
                },
                timeouts=closed({}, request=DURATION, backendRequest=DURATION),
            )
        ),
    }
)
SCALED_OBJECT = closed(
    {
        "scaleTargetRef": closed({"name": TEXT}, apiVersion=TEXT, kind=TEXT),
        "triggers": many(
            closed(
                {"type": {"enum": ["prometheus", "cpu"]}, "metadata": LABELS},
                metricType={"enum": ["AverageValue", "Utilization"]},
            )
        ),
    },
    minReplicaCount=COUNT,
    maxReplicaCount=COUNT,
    advanced=closed({}, horizontalPodAutoscalerConfig=closed({}, behavior=closed({}, scaleUp=RULES, scaleDown=RULES))),
)
SERVICE_MONITOR = closed(
    {
        "selector": closed({"matchLabels": LABELS}),
        "endpoints": many(
            closed(
                {"port": TEXT, "path": TEXT},
                interval=DURATION,
                scrapeTimeout=DURATION,
                relabelings=many(closed({"targetLabel": TEXT, "replacement": TEXT})),
            )
        ),
    }
)
RULE = closed({"alert": TEXT, "expr": TEXT, "labels": LABELS, "annotations": LABELS}, **{"for": DURATION})
PROMETHEUS_RULE = closed({"groups": many(closed({"name": TEXT, "rules": many(RULE)}))})
FOREIGN = {
    ("gateway.networking.k8s.io/v1", "HTTPRoute"): ROUTE,
    ("keda.sh/v1alpha1", "ScaledObject"): SCALED_OBJECT,
    ("monitoring.coreos.com/v1", "ServiceMonitor"): SERVICE_MONITOR,
    ("monitoring.coreos.com/v1", "PrometheusRule"): PROMETHEUS_RULE,
}


def validate(manifest: Manifest, minor: str) -> None:
    """Raise an exception if the manifest does not fit the schema of its kind."""
    import jsonschema  # noqa: PLC0415  # of the extra `system`
    import kubernetes_validate  # noqa: PLC0415

    spec = FOREIGN.get((manifest["apiVersion"], manifest["kind"]))
    if spec is None:
        kubernetes_validate.validate(manifest, minor, strict=True)
    else:
        whole = closed({"apiVersion": TEXT, "kind": TEXT, "metadata": METADATA, "spec": spec})
        jsonschema.validate(manifest, whole)


@pytest.mark.parametrize("minor", MINORS)
def test_every_manifest_fits_its_schema(overlay: Rendered, minor: str) -> None:
    """Nothing is misspelt, nothing has the wrong type, nothing is missing."""
    for manifest in overlay.manifests:
        validate(manifest, minor)


FAULTS = {
    "a misspelt field": ("Deployment", ("spec", "template", "spec", "automountServiceAcountToken"), False),
    "a wrong type": ("Deployment", ("spec", "template", "spec", "terminationGracePeriodSeconds"), "long"),
    "a misspelt budget": ("PodDisruptionBudget", ("spec", "maxUnavailble"), 1),
    "a misspelt scaler": ("HorizontalPodAutoscaler", ("spec", "maxReplica"), 3),
    "a misspelt policy": ("NetworkPolicy", ("spec", "ingres"), []),
    "a misspelt route": ("HTTPRoute", ("spec", "hostnmes"), ["x"]),
    "a misspelt monitor": ("ServiceMonitor", ("spec", "endpoint"), []),
    "a misspelt rule": ("PrometheusRule", ("spec", "group"), []),
}


@pytest.mark.parametrize(("kind", "path", "value"), FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_would_be_found(kind: str, path: tuple[str, ...], value: object) -> None:
    """The validation is strict: each of these faults is one for it."""
    broken = copy.deepcopy(rendered("prod").of(kind)[0])
    place = broken
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(Exception, match=path[-1]):
        validate(broken, MINORS[0])


def test_every_overlay_and_every_component_is_tested() -> None:
    """What lies in k8s/ is rendered by some test."""
    assert {folder.name for folder in (K8S / "overlays").iterdir()} == set(OVERLAYS)
    texts = [(K8S / "overlays" / name / "kustomization.yaml").read_text() for name in OVERLAYS]
    for component in (K8S / "components").iterdir():
        assert any(f"components/{component.name}\n" in text for text in texts), component
        assert {file.name for file in component.iterdir()} == {"kustomization.yaml", *resources(component)}


def resources(folder: Path) -> set[str]:
    """Return the files that a kustomization names as its resources."""
    lines = (folder / "kustomization.yaml").read_text().splitlines()
    return {line.removeprefix("  - ") for line in lines if line.startswith("  - ") and line.endswith(".yaml")}
