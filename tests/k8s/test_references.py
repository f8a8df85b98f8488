"""Every name in the manifests means something: labels, ports, ConfigMaps, Secrets, settings, metrics, paths."""

import base64
import re
import textwrap
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from common.metrics.fields import FieldCollector
from common.settings import PREFIX, Settings
from edge.counters import Counters
from edge.metrics import Gauges
from edge.protocol.subscribe import MAX_POLL_SECONDS
from tests.cluster.processes import ROOT
from tests.k8s.rendering import (
    Manifest,
    Rendered,
    containers,
    environment,
    pod_labels,
    pod_spec,
    ports_of,
    rendered,
    selected,
)
from tests.lb.paths import FOR_EDGES, FOR_NO_SERVICE, FOR_THE_PUBLISHER
from tests.monitoring.reading import rules as alert_rules

pytestmark = pytest.mark.system

SETTINGS = {PREFIX + name.upper() for name in Settings.model_fields}
MADE_BY_HAND = {"comet"}  # the Secret that must be there, and that overlays/prod says how to make
PAGE = ROOT / "docs/deploy-kubernetes.md"
LATEST_EXIT = 5  # seconds after COMET_DRAIN_SECONDS at which an edge is gone, at the latest


def test_every_service_has_pods_and_ports(overlay: Rendered) -> None:
    """A Service's selector finds the pods of one workload, and its ports are ports of theirs."""
    for service in overlay.of("Service"):
        (name,) = selected(overlay, service["spec"]["selector"])
        workload = next(one for one in overlay.workloads if one["metadata"]["name"] == name)
        for port in service["spec"]["ports"]:
            assert ports_of(workload)[port["targetPort"]] == port["port"], service["metadata"]["name"]


def test_every_budget_and_every_spread_is_of_its_own_pods(overlay: Rendered) -> None:
    """A budget protects the workload of its name, and pods are spread among their like; each comet workload has one."""
    budgets = {
        one["metadata"]["name"]: one["spec"]["selector"]["matchLabels"] for one in overlay.of("PodDisruptionBudget")
    }
    for workload in overlay.of("Deployment"):
        name = workload["metadata"]["name"]
        assert selected(overlay, budgets.pop(name)) == [name]
        constraints = pod_spec(workload)["topologySpreadConstraints"]
        assert {tuple(selected(overlay, one["labelSelector"]["matchLabels"])) for one in constraints} == {(name,)}
    assert budgets == {}


def test_every_selector_matches_its_own_template(overlay: Rendered) -> None:
    """A workload finds the pods that it makes, and no other workload's."""
    for workload in overlay.workloads:
        assert selected(overlay, workload["spec"]["selector"]["matchLabels"]) == [workload["metadata"]["name"]]


def test_every_reference_to_a_map_or_a_secret_resolves(overlay: Rendered) -> None:
    """It is in the overlay, or optional, or the overlay's first lines say how to make it."""
    present = {(one["kind"], one["metadata"]["name"]) for one in overlay.of("ConfigMap", "Secret")}
    for name, container in containers(overlay):
        for source in container.get("envFrom", []):
            ((key, reference),) = ((key, value) for key, value in source.items())
            kind = {"configMapRef": "ConfigMap", "secretRef": "Secret"}[key]
            known = (kind, reference["name"]) in present
            by_hand = overlay.name != "dev" and kind == "Secret" and reference["name"] in MADE_BY_HAND
            assert known or by_hand or reference.get("optional"), (name, reference)


def test_the_secrets_made_by_hand_are_described() -> None:
    """An operator that applies overlays/prod is told each Secret's name and its key, which is a setting."""
    text = (ROOT / "k8s/overlays/prod/kustomization.yaml").read_text()
    told = re.findall(r"create secret generic (\S+) --from-literal=(\w+)=", text)
    assert told == [("comet", "COMET_REDIS_URL"), ("comet-publisher", "COMET_PUBLISH_KEYS")]
    assert {key for _, key in told} <= SETTINGS
    assert told == re.findall(r"create secret generic (\S+) --from-literal=(\w+)=", PAGE.read_text())


def test_every_variable_is_a_setting(overlay: Rendered) -> None:
    """What the pods are given has a meaning in this version."""
    for one in overlay.of("ConfigMap"):
        assert set(one["data"]) <= SETTINGS
    for one in overlay.of("Secret"):
        assert set(one.get("stringData", one.get("data"))) <= SETTINGS
    assert not any("env" in container for _, container in containers(overlay))


def test_the_ports_are_those_of_the_settings(overlay: Rendered) -> None:
    """No pod is told another port, so its ports are the defaults."""
    default = Settings.model_construct()
    ports = {name: ports_of(one) for one in overlay.of("Deployment") for name in [one["metadata"]["name"]]}
    assert ports == {
        "comet-edge": {"public": default.edge_port, "internal": default.edge_admin_port},
        "comet-publisher": {"publish": default.publisher_port, "internal": default.publisher_admin_port},
    }
    assert not any("PORT" in variable for one in overlay.of("ConfigMap") for variable in one["data"])


def test_every_probe_asks_a_port_that_is_there(overlay: Rendered) -> None:
    """Health and readiness are asked for on the internal port, which can be reached from outside the container."""
    for workload in overlay.of("Deployment"):
        for container in pod_spec(workload)["containers"]:
            probes = {name: container[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
            assert {probe["port"] for probe in probes.values()} == {"internal"} <= ports_of(workload).keys()
            assert [probe["path"] for probe in probes.values()] == ["/healthz", "/healthz", "/readyz"]
            given = environment(overlay, container)
            assert (given["COMET_ADMIN_HOST"], given["COMET_PUBLISHER_HOST"]) == ("::", "::")


def test_no_process_is_killed_while_draining(overlay: Rendered) -> None:
    """The grace period is longer than everything that happens before the exit."""
    for workload in overlay.of("Deployment"):
        (container,) = pod_spec(workload)["containers"]
        sleep = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        drain = float(environment(overlay, container)["COMET_DRAIN_SECONDS"])
        assert pod_spec(workload)["terminationGracePeriodSeconds"] > sleep + drain + LATEST_EXIT


def test_a_rollout_takes_nothing_away_before_its_replacement_is_there(overlay: Rendered) -> None:
    """Pods are added first and removed later; an autoscaled workload has no fixed number."""
    scaled = {one["spec"]["scaleTargetRef"]["name"] for one in overlay.of("HorizontalPodAutoscaler", "ScaledObject")}
    for workload in overlay.of("Deployment"):
        assert workload["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
        assert ("replicas" in workload["spec"]) == (workload["metadata"]["name"] not in scaled)


@pytest.mark.parametrize("name", ["prod", "prod-ingress", "prod-keda"])
def test_one_autoscaler_and_its_metrics_are_real(name: str) -> None:
    """It scales a Deployment that is there, by a metric that the edges have; their limit is far above its target."""
    overlay = rendered(name)
    (scaler,) = overlay.of("HorizontalPodAutoscaler", "ScaledObject")
    target = overlay.named("Deployment", scaler["spec"]["scaleTargetRef"]["name"])
    metric, average = scaled_by(scaler)
    registry = CollectorRegistry()
    gauges = Gauges({"sse": 0}, 1, 0, 0, 0, 0, redis_up=True, redis_reconnects=0, draining=False, key_uses={})
    registry.register(FieldCollector(Counters(), lambda: gauges))
    assert metric in {one.name for one in registry.collect()}
    (container,) = pod_spec(target)["containers"]
    assert 0 < average <= int(environment(overlay, container)["COMET_MAX_CONNECTIONS"]) / 2


def scaled_by(scaler: Manifest) -> tuple[str, int]:
    """Return the metric of pods that an autoscaler goes by, and its target."""
    if scaler["kind"] == "HorizontalPodAutoscaler":
        (pods,) = [one["pods"] for one in scaler["spec"]["metrics"] if one["type"] == "Pods"]
        return pods["metric"]["name"], int(pods["target"]["averageValue"])
    (asked,) = [one["metadata"] for one in scaler["spec"]["triggers"] if one["type"] == "prometheus"]
    namespace = scaler["metadata"]["namespace"]
    found = re.fullmatch(rf'sum\((\w+){{namespace="{namespace}"}}\)', asked["query"])
    assert found is not None
    return found[1], int(asked["threshold"])


@pytest.mark.parametrize("name", ["comet-edge", "comet-publisher"])
def test_prometheus_finds_all_pods(name: str) -> None:
    """One headless Service leads it to every pod, ready or not, often enough, and the job is called like everywhere."""
    overlay = rendered("prod")
    spec = overlay.named("ServiceMonitor", name)["spec"]
    (endpoint,) = spec["endpoints"]
    labels = spec["selector"]["matchLabels"].items()
    services = [one for one in overlay.of("Service") if labels <= one["metadata"]["labels"].items()]
    (service,) = [
        one["spec"] for one in services if endpoint["port"] in {port["name"] for port in one["spec"]["ports"]}
    ]
    assert (service["clusterIP"], service["publishNotReadyAddresses"]) == ("None", True)
    assert selected(overlay, service["selector"]) == [name]
    assert endpoint["relabelings"] == [{"targetLabel": "job", "replacement": name}]
    assert (endpoint["port"], endpoint["path"]) == ("internal", "/metrics")
    assert (endpoint["interval"], endpoint["scrapeTimeout"]) == ("15s", "5s")


def test_the_alert_rules_of_kubernetes_are_those_of_prometheus() -> None:
    """When this fails, make rules.yaml anew, as docs/deploy-kubernetes.md says."""
    text = (ROOT / "k8s/components/monitoring/rules.yaml").read_text()
    rules = (ROOT / "deploy/prometheus/alerts.yml").read_text().partition("groups:\n")[2]
    assert text.partition("spec:\n  groups:\n")[2] == textwrap.indent(rules, "  ")
    (rule,) = rendered("prod").of("PrometheusRule")
    assert [alert for group in rule["spec"]["groups"] for alert in group["rules"]] == alert_rules()


def test_disruptions_take_one_pod_at_a_time(overlay: Rendered) -> None:
    """Nodes can be drained, one edge after the other, and even if none is ready."""
    for budget in overlay.of("PodDisruptionBudget"):
        del budget["spec"]["selector"]
        assert budget["spec"] == {"maxUnavailable": 1, "unhealthyPodEvictionPolicy": "AlwaysAllow"}
    assert len(overlay.of("PodDisruptionBudget")) == 2


UP, DOWN = {"type": "Percent", "value": 100, "periodSeconds": 30}, {"type": "Pods", "value": 1, "periodSeconds": 120}


@pytest.mark.parametrize("name", ["prod", "prod-ingress", "prod-keda"])
def test_edges_are_scaled_by_connections_and_cpu(name: str) -> None:
    """Either is reason enough for another edge; many come at once, and they go slowly, one after the other."""
    (scaler,) = rendered(name).of("HorizontalPodAutoscaler", "ScaledObject")
    spec = scaler["spec"]
    if scaler["kind"] == "ScaledObject":
        asked = {one["type"]: one["metadata"] for one in spec["triggers"]}
        assert asked == {"prometheus": asked["prometheus"], "cpu": {"value": "600m"}}
        assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (3, 20)
        behavior = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    else:
        pods, cpu = spec["metrics"]
        assert (pods["type"], pods["pods"]["target"]["type"]) == ("Pods", "AverageValue")
        assert cpu["resource"] == {"name": "cpu", "target": {"type": "AverageValue", "averageValue": "600m"}}
        assert (spec["minReplicas"], spec["maxReplicas"]) == (3, 20)
        behavior = spec["behavior"]
    assert scaled_by(scaler) == ("comet_connections", 20_000)
    assert behavior == {
        "scaleUp": {"stabilizationWindowSeconds": 0, "policies": [UP]},
        "scaleDown": {"stabilizationWindowSeconds": 600, "policies": [DOWN]},
    }


def test_no_gateway_ends_a_stream() -> None:
    """The rule of the edges has no limit of time, for the request and for the backend."""
    (route,) = rendered("prod").of("HTTPRoute")
    limits = {rule["backendRefs"][0]["name"]: rule.get("timeouts") for rule in route["spec"]["rules"]}
    assert limits == {"comet-edge": {"request": "0s", "backendRequest": "0s"}, "comet-publisher": None}


def test_no_ingress_holds_a_stream_up() -> None:
    """Nothing is buffered on its way to the client, and no time-out is shorter than the longest poll."""
    (ingress,) = rendered("prod-ingress").of("Ingress")
    found = {name.rpartition("/")[2]: value for name, value in ingress["metadata"]["annotations"].items()}
    assert all(name.startswith("nginx.ingress.kubernetes.io/") for name in ingress["metadata"]["annotations"])
    assert found["proxy-buffering"] == "off"
    assert int(found["proxy-read-timeout"]) > MAX_POLL_SECONDS
    assert int(found["proxy-send-timeout"]) > MAX_POLL_SECONDS
    assert (found["proxy-connect-timeout"], found["load-balance"]) == ("2", "ewma")


@pytest.mark.parametrize("name", ["prod", "prod-ingress"])
def test_the_routes_are_those_of_every_load_balancer(name: str) -> None:
    """Subscribers get to the edges, pages come from the publisher, and nothing else is public."""
    overlay = rendered(name)
    routes = routes_of(overlay)
    assert {served_by(routes, path) for path in FOR_EDGES} == {("comet-edge", "public")}
    assert {served_by(routes, path) for path in FOR_THE_PUBLISHER} == {("comet-publisher", "publish")}
    assert {served_by(routes, path) for path in FOR_NO_SERVICE} == {None}


Route = tuple[str, str, tuple[str, str]]  # how it matches, the path, (service, name of its port)


def routes_of(overlay: Rendered) -> list[Route]:
    """Return all routes from outside."""
    return [*_of_the_gateway(overlay), *_of_the_ingress(overlay)]


def _of_the_gateway(overlay: Rendered) -> list[Route]:
    found = []
    for rule in (rule for one in overlay.of("HTTPRoute") for rule in one["spec"]["rules"]):
        (backend,) = rule["backendRefs"]
        ports = overlay.named("Service", backend["name"])["spec"]["ports"]
        (port,) = [one["name"] for one in ports if one["port"] == backend["port"]]
        paths = [match["path"] for match in rule["matches"]]
        found += [(path["type"].removeprefix("Path"), path["value"], (backend["name"], port)) for path in paths]
    return found


def _of_the_ingress(overlay: Rendered) -> list[Route]:
    found = []
    for one in overlay.of("Ingress"):
        for path in one["spec"]["rules"][0]["http"]["paths"]:
            service = path["backend"]["service"]
            ports = {port["name"] for port in overlay.named("Service", service["name"])["spec"]["ports"]}
            assert service["port"]["name"] in ports
            found.append((path["pathType"], path["path"], (service["name"], service["port"]["name"])))
    return found


def served_by(routes: list[Route], path: str) -> tuple[str, str] | None:
    """Return the backend of a path: a prefix matches whole segments."""
    for how, value, backend in routes:
        if path == value or (how == "Prefix" and path.startswith(f"{value}/")):
            return backend
    return None


def test_exactly_the_needed_ports_are_open(overlay: Rendered) -> None:
    """What the NetworkPolicies allow, written out: any change must be meant."""
    inside, monitoring = "comet", "namespace kubernetes.io/metadata.name=monitoring"
    balancers, publishers = "namespace comet-load-balancers=yes", "namespace comet-publishers=yes"
    out = {("any", 53, "UDP"), ("any", 53, "TCP"), ("any", 6379, "TCP")}
    expected: dict[str, Any] = {
        "comet-edge": ({("any", 8080, "TCP"), (monitoring, 9080, "TCP"), (balancers, 9080, "TCP")}, out),
        "comet-publisher": (
            {("here", 8081, "TCP"), (publishers, 8081, "TCP"), (monitoring, 9081, "TCP")},
            out,
        ),
    }
    if overlay.name == "dev":
        expected["valkey"] = ({(f"pods app.kubernetes.io/name={inside}", 6379, "TCP")}, set())
    assert {one["metadata"]["name"]: allowed(overlay, one) for one in overlay.workloads} == expected


Flow = tuple[str, int, str]  # from or to whom, port of the pod that is asked, protocol


def allowed(overlay: Rendered, workload: Manifest) -> tuple[set[Flow], set[Flow]]:
    """Return what may come in and what may go out; a direction that no policy restricts is a fault."""
    came: set[Flow] = set()
    went: set[Flow] = set()
    restricted: set[str] = set()
    for policy in overlay.of("NetworkPolicy"):
        spec = policy["spec"]
        if not spec["podSelector"].get("matchLabels", {}).items() <= pod_labels(workload).items():
            continue
        restricted |= set(spec["policyTypes"])
        came |= {flow for rule in spec.get("ingress", []) for flow in flows(rule, "from", ports_of(workload))}
        went |= {flow for rule in spec.get("egress", []) for flow in flows(rule, "to", {})}
    assert restricted == {"Ingress", "Egress"}
    return came, went


def flows(rule: Manifest, side: str, named: dict[str, int]) -> set[Flow]:
    """Return the flows that one rule allows; a name of a port must be one of the pod's."""
    peers = [peer(one) for one in rule.get(side, [])] or ["any"]
    ports = [(named[one["port"]] if isinstance(one["port"], str) else one["port"], one) for one in rule["ports"]]
    return {(peer, number, one.get("protocol", "TCP")) for peer in peers for number, one in ports}


def peer(selector: Manifest) -> str:
    """Describe the peer at the other end."""
    if selector == {"podSelector": {}}:
        return "here"
    ((kind, labels),) = selector.items()
    ((key, value),) = labels["matchLabels"].items()
    return f"{kind.removesuffix('Selector').replace('pod', 'pods')} {key}={value}"


def test_the_trial_redis_is_where_the_pods_look_for_it() -> None:
    """The Secret's URL names a Service of the overlay, and its port."""
    overlay = rendered("dev")
    (secret,) = overlay.of("Secret")
    url = base64.b64decode(secret["data"]["COMET_REDIS_URL"]).decode()
    found = re.fullmatch(r"redis://(\w+):(\d+)", url)
    assert found is not None
    (port,) = overlay.named("Service", found[1])["spec"]["ports"]
    assert port["port"] == int(found[2])


def test_pods_are_confined(overlay: Rendered) -> None:
    """They meet the restricted standard and more, and Services do not set our own variables in them."""
    (namespace,) = overlay.of("Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for workload in overlay.workloads:
        spec = pod_spec(workload)
        assert (spec["automountServiceAccountToken"], spec["enableServiceLinks"]) == (False, False)
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for name, container in containers(overlay):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, name
        assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
        assert "memory" in container["resources"]["limits"]


def test_the_image_is_the_one_that_the_dockerfile_makes(overlay: Rendered) -> None:
    """Pods run as the image's user, and the image has the name that Compose gives it."""
    (uid, gid) = re.findall(r"^USER (\d+):(\d+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)[-1]
    (name,) = set(re.findall(r"image: \$\{COMET_IMAGE:-([\w-]+)\}", (ROOT / "compose.yaml").read_text()))
    for workload in overlay.of("Deployment"):
        context = pod_spec(workload)["securityContext"]
        assert (context["runAsUser"], context["runAsGroup"]) == (int(uid), int(gid))
        (container,) = pod_spec(workload)["containers"]
        assert container["image"].rpartition("/")[2].partition(":")[0] == name
