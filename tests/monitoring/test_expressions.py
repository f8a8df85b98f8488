"""Every alert and every panel reads series that the processes really show, and leads to where help is."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.cluster.clients import get
from tests.cluster.conftest import cluster  # noqa: F401  # a fixture
from tests.cluster.processes import Cluster
from tests.monitoring.reading import (
    GRAFANA,
    ROOT,
    Selector,
    compose,
    dashboard,
    job_matchers,
    jobs_of_compose,
    jobs_of_kubernetes,
    panel_expressions,
    rules,
    selectors,
    yaml,
)
from tests.test_docs import anchors, documented

OF_PROMETHEUS = frozenset({"job", "instance"})
SEVERITIES = {"critical", "warning"}


@pytest.fixture(scope="module")
def shown(cluster: Cluster) -> dict[str, frozenset[str]]:  # noqa: F811
    """Return the name of every sample on the real pages, with the labels that its series may have."""
    labels = {row[0]: row[2] for section in ("Edge", "Publisher") for row in documented(section)}
    names: dict[str, frozenset[str]] = {"up": frozenset()}
    for service in (cluster.a, cluster.publisher):
        for metric in text_string_to_metric_families(get(service.admin_port, "/metrics").text):
            ends = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(metric.type, [""])
            names |= {metric.name + end: labels[metric.name + ("_total" if end == "_total" else "")] for end in ends}
    return names


@pytest.mark.parametrize("expression", [rule["expr"] for rule in rules()] + [each for _, each in panel_expressions()])
def test_an_expression_reads_what_there_is(expression: str, shown: dict[str, frozenset[str]]) -> None:
    """A name or a label that a process does not show would make an alert silent and a panel empty, for ever."""
    assert selectors(expression)
    for name, labels in selectors(expression):
        assert name in shown, name
        assert labels <= shown[name] | OF_PROMETHEUS, (name, labels)


@pytest.mark.parametrize("jobs", [jobs_of_compose(), jobs_of_kubernetes()], ids=["compose", "kubernetes"])
def test_an_expression_looks_for_jobs_that_there_are(jobs: set[str]) -> None:
    """Another name of a job would make an alert silent for ever; each job is watched for processes that are gone."""
    assert {"comet-edge", "comet-publisher"} <= jobs
    texts = [rule["expr"] for rule in rules()] + [each for _, each in panel_expressions()]
    texts += [variable["query"]["query"] for variable in dashboard()["templating"]["list"][1:]]
    matchers = [matcher for text in texts for matcher in job_matchers(text.replace("$job", ".*"))]
    assert matchers
    assert all(any(map(matcher.fullmatch, jobs)) for matcher in matchers)
    (watched,) = [one for rule in rules() if rule["alert"] == "CometProcessDown" for one in job_matchers(rule["expr"])]
    assert all(map(watched.fullmatch, jobs))


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_an_alert_says_how_bad_it_is_and_what_to_do(rule: dict[str, object]) -> None:
    """A severity, a sentence, and a heading of the runbook that exists."""
    labels, annotations = rule["labels"], rule["annotations"]
    assert isinstance(labels, dict)
    assert isinstance(annotations, dict)
    assert labels["severity"] in SEVERITIES
    assert annotations["summary"].endswith(".")
    path, _, anchor = annotations["runbook"].partition("#")
    assert anchor in anchors(ROOT / path)


def test_every_series_of_ours_is_on_the_dashboard(shown: dict[str, frozenset[str]]) -> None:
    """What is worth exposing is worth looking at."""
    read = {selector.name for _, expression in panel_expressions() for selector in selectors(expression)}
    families = {name.removesuffix(end) for name in read for end in ("", "_bucket", "_sum", "_count")}
    every = {row[0] for section in ("Edge", "Publisher") for row in documented(section)}
    assert every - families == set()
    assert len(shown) > len(every)


def test_the_dashboard_is_whole() -> None:
    """Ids are unique, panels lie beside one another, and each one names the data source that may be chosen."""
    board = dashboard()
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
        if panel["type"] != "row":
            assert panel["datasource"]["uid"] == "${datasource}"
            assert panel["targets"]
    chosen = {variable["name"]: variable for variable in board["templating"]["list"]}
    assert list(chosen) == ["datasource", "job", "instance"]


def test_what_compose_sets_up_fits_together() -> None:
    """The dashboard opens with the data source that is provisioned, from the folder that compose.yaml mounts."""
    (source,) = yaml.safe_load((GRAFANA / "provisioning/datasources/comet.yaml").read_text())["datasources"]
    assert dashboard()["templating"]["list"][0]["current"]["value"] == source["uid"]
    (provider,) = yaml.safe_load((GRAFANA / "provisioning/dashboards/comet.yaml").read_text())["providers"]
    mounts = [volume.split(":") for volume in compose()["grafana"]["volumes"]]
    assert ["./deploy/grafana/dashboards", provider["options"]["path"], "ro"] in mounts
    assert source["url"] == "http://prometheus:9090"
    assert "./deploy/prometheus:/etc/prometheus:ro" in compose()["prometheus"]["volumes"]


@pytest.mark.parametrize(
    ("expression", "read"),
    [
        ('sum by (le) (rate(a_bucket{job=~"x|y", b!="z"}[5m]))', {Selector("a_bucket", frozenset({"job", "b"}))}),
        ("a / on (job) b offset 1h > 0.5e3 and on (job, instance) c", {Selector(name, frozenset()) for name in "abc"}),
        (
            'changes(a[30m]) > 2 or vector(0) unless absent(b{c="by (d) e"})',
            {("a", frozenset()), ("b", frozenset("c"))},
        ),
    ],
)
def test_selectors_are_found(expression: str, read: set[Selector]) -> None:
    """Functions, operators, label lists, ranges, numbers and strings are no series."""
    assert selectors(expression) == read
