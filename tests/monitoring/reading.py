"""The shipped alert rules and the dashboard, and which series a PromQL expression reads."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
GRAFANA = ROOT / "deploy" / "grafana"
# What is no series, taken away one after the other: what is left of each lets the next be recognised.
NOT_SERIES = (
    r'"[^"]*"',  # strings
    r"\[[^\]]*\]",  # ranges
    r"\b(?:by|on|without|ignoring|group_left|group_right)\s*\([^)]*\)",  # lists of labels
    r"\b(?:and|or|unless|bool|offset\s+\w+)\b",
    r"\b[a-zA-Z_]\w*\s*(?=\()",  # functions
    r"\b\d[\w.]*",  # numbers
)
SELECTOR = re.compile(r"\b([a-zA-Z_:][\w:]*)\s*(?:\{([^}]*)\})?")
JOB = re.compile(r'\bjob\s*(=~|=)\s*"([^"]*)"')
MATCHED = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")


class Selector(NamedTuple):
    """One series that an expression reads, and the labels it chooses by."""

    name: str
    labels: frozenset[str]


def selectors(expression: str) -> set[Selector]:
    """Return what a PromQL expression reads."""
    for pattern in NOT_SERIES:
        expression = re.sub(pattern, " ", expression)
    return {Selector(name, frozenset(MATCHED.findall(labels))) for name, labels in SELECTOR.findall(expression)}


def rules() -> list[dict[str, Any]]:
    """Return every alert rule."""
    groups = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    """Return the dashboard."""
    return json.loads((GRAFANA / "dashboards" / "comet.json").read_text())  # type: ignore[no-any-return]


def compose() -> dict[str, Any]:
    """Return the services of compose.yaml."""
    return yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]  # type: ignore[no-any-return]


def panel_expressions() -> Iterator[tuple[str, str]]:
    """Yield the title of a panel and one of its expressions, as Prometheus gets it from Grafana."""
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            expression = target["expr"].replace("$__rate_interval", "1m")
            yield panel["title"], re.sub(r"\$(job|instance)", ".*", expression)


def jobs_of_compose() -> set[str]:
    """Return the jobs that Prometheus has beside compose.yaml."""
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    return {job["job_name"] for job in config["scrape_configs"]}


def jobs_of_kubernetes() -> set[str]:
    """Return the jobs that the ServiceMonitors make."""
    monitors = yaml.safe_load_all((ROOT / "k8s/components/monitoring/service-monitors.yaml").read_text())
    found = [rule for monitor in monitors for one in monitor["spec"]["endpoints"] for rule in one["relabelings"]]
    return {rule["replacement"] for rule in found if rule["targetLabel"] == "job"}


def job_matchers(expression: str) -> list[re.Pattern[str]]:
    """Return what an expression wants a job to be called."""
    return [re.compile(text if how == "=~" else re.escape(text)) for how, text in JOB.findall(expression)]
