"""What makes each alert fire, by promtool; and the shipped files in a real Prometheus beside a real cluster."""

import json
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from comet.guard import guarded
from tests.cluster.clients import HOST, Connection, SseClient, StreamClient, get
from tests.cluster.processes import Cluster, Service, free_ports
from tests.cluster.running import running
from tests.cluster.waiting import until
from tests.monitoring.reading import PROMETHEUS, panel_expressions, rules

pytestmark = pytest.mark.system

Series = dict[str, str]
EDGE = 'job="comet-edge",instance="a:9080"'
PUBLISHER = 'job="comet-publisher",instance="p:9081"'
SSE = 'transport="sse"'
KEY = "a-key-of-16-chars"
AS_OPERATOR = {"Authorization": f"Bearer {KEY}"}


def timed(name: str, *, quick: bool) -> Series:
    """Return a histogram in which everything takes 10 ms at most, or more than one second."""
    bounds = {"0.01": quick, "0.5": quick, "1.0": quick, "2.0": True, "+Inf": True}
    return {f'{name}_bucket{{{EDGE},le="{le}"}}': "0+60x90" if reached else "0x90" for le, reached in bounds.items()}


#: One sample a minute for an hour and a half: `0+60x90` rises by 60 each minute, `1x90` stays at 1.
HEALTHY: Series = {
    f"up{{{EDGE}}}": "1x90",
    f"up{{{PUBLISHER}}}": "1x90",
    f"comet_redis_up{{{EDGE}}}": "1x90",
    f"comet_redis_up{{{PUBLISHER}}}": "1x90",
    f"comet_draining{{{EDGE}}}": "0x90",
    f"comet_build_info{{{EDGE}}}": "1x90",
    f"process_start_time_seconds{{{EDGE}}}": "1000x90",
    f"process_cpu_seconds_total{{{EDGE}}}": "0+30x90",
    f"comet_connections{{{EDGE},{SSE}}}": "500x90",
    f'comet_connections{{{EDGE},transport="poll"}}': "200x90",
    f"comet_connections_limit{{{EDGE}}}": "1000x90",
    f"comet_connections_opened_total{{{EDGE},{SSE}}}": "0+60x90",
    f'comet_connections_closed_total{{{EDGE},{SSE},reason="slow"}}': "0x90",
    f'comet_requests_refused_total{{{EDGE},code="503"}}': "0x90",
    f"comet_parked_bytes{{{EDGE}}}": "1000x90",
    f'comet_publish_total{{{PUBLISHER},code="200"}}': "0+600x90",
    f'comet_publish_total{{{PUBLISHER},code="503"}}': "0x90",
    f'comet_repairs_total{{{EDGE},result="reset"}}': "0x90",
    f'comet_replay_total{{{EDGE},result="hit"}}': "0+600x90",
    f'comet_replay_total{{{EDGE},result="reset"}}': "0+6x90",
    f'comet_messages_dropped_total{{{EDGE},reason="malformed"}}': "0x90",
    f'comet_messages_dropped_total{{{EDGE},reason="receipt"}}': "0+1x90",
    f'comet_not_adopted_total{{{EDGE},reason="refused"}}': "0x90",
    **timed("comet_delivery_latency_seconds", quick=True),
    **timed("comet_event_loop_lag_seconds", quick=True),
    **timed("comet_redis_probe_seconds", quick=True),
}

#: What is different when an alert fires; an empty string takes a series away.
TROUBLE: dict[str, Series] = {
    "CometNoEdge": {f"comet_connections_limit{{{EDGE}}}": ""},
    "CometProcessDown": {f"up{{{EDGE}}}": "1x80 0x10"},
    "CometRedisDown": {f"comet_redis_up{{{PUBLISHER}}}": "1x80 0x10"},
    "CometRestarting": {f"process_start_time_seconds{{{EDGE}}}": "1000x70 2000x3 3000x3 4000x20"},
    "CometDrainHangs": {f"comet_draining{{{EDGE}}}": "0x60 1x30"},
    "CometNobodyConnected": {
        f"comet_connections{{{EDGE},{SSE}}}": "500x75 0x15",
        f'comet_connections{{{EDGE},transport="poll"}}': "200x75 0x15",
    },
    "CometEdgeFull": {f"comet_connections{{{EDGE},{SSE}}}": "700x90"},
    "CometTurnsAway": {f'comet_requests_refused_total{{{EDGE},code="503"}}': "0x70 0+120x20"},
    "CometReconnectStorm": {f"comet_connections_opened_total{{{EDGE},{SSE}}}": "0+60x74 4440+6000x16"},
    "CometSlowReaders": {f'comet_connections_closed_total{{{EDGE},{SSE},reason="slow"}}': "0x70 0+20x20"},
    "CometParkedBytes": {f"comet_parked_bytes{{{EDGE}}}": "1000x80 40000000x10"},
    "CometPublishFails": {f'comet_publish_total{{{PUBLISHER},code="503"}}': "0x70 0+60x20"},
    "CometDeliverySlow": timed("comet_delivery_latency_seconds", quick=False),
    "CometLoopLag": timed("comet_event_loop_lag_seconds", quick=False),
    "CometCoreFull": {f"process_cpu_seconds_total{{{EDGE}}}": "0+59x90"},
    "CometRedisSlow": timed("comet_redis_probe_seconds", quick=False),
    "CometResets": {f'comet_repairs_total{{{EDGE},result="reset"}}': "0x85 1x5"},
    "CometHistoryTooShort": {f'comet_replay_total{{{EDGE},result="reset"}}': "0+60x90"},
    "CometMessagesDropped": {f'comet_messages_dropped_total{{{EDGE},reason="malformed"}}': "0x85 1x5"},
    "CometNotAdopted": {f'comet_not_adopted_total{{{EDGE},reason="refused"}}': "0x85 3x5"},
}


def test_every_alert_has_its_trouble() -> None:
    """The table above names each alert."""
    assert sorted(TROUBLE) == sorted(rule["alert"] for rule in rules())


def test_each_trouble_fires_its_alert_and_no_other(tmp_path: Path) -> None:
    """promtool lets the samples pass through the shipped rules; a healthy cluster is quiet."""
    cases = {"": {}, **TROUBLE}
    tests = [case(name, HEALTHY | change) for name, change in cases.items()]
    file = tmp_path / "test.yml"
    file.write_text(yaml.safe_dump({"rule_files": [str(PROMETHEUS / "alerts.yml")], "tests": tests}))
    done = subprocess.run(["promtool", "test", "rules", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def case(name: str, series: Series) -> dict[str, Any]:
    """Return a test in promtool's format: exactly this alert fires after 88 minutes, or none."""
    samples = [{"labels": f'{{alertname="{name}"}}', "value": 1}] if name else []
    firing = 'count by (alertname) (ALERTS{alertstate="firing"})'
    return {
        "name": name or "healthy",
        "interval": "1m",
        "input_series": [{"series": one, "values": values} for one, values in series.items() if values],
        "promql_expr_test": [{"expr": firing, "eval_time": "88m", "exp_samples": samples}],
    }


def test_the_configuration_is_good() -> None:
    """promtool reads the shipped file and the rules that it names."""
    done = subprocess.run(
        ["promtool", "check", "config", PROMETHEUS / "prometheus.yml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(rules())} rules found" in done.stdout


class Watcher:
    """A running Prometheus."""

    def __init__(self, port: int) -> None:
        self._url = f"http://{HOST}:{port}/api/v1/"

    def ask(self, what: str, **query: str) -> Any:
        """Return the data of one answer of its API; None while it does not answer."""
        try:
            with urllib.request.urlopen(self._url + what + "?" + urllib.parse.urlencode(query), timeout=5) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            if error.code == 503:  # it has not read its storage yet
                return None
            raise AssertionError(f"{query}: {error.read().decode()}") from None
        except OSError:
            return None

    def rules(self) -> list[Any]:
        """Return all rules that it has loaded, and how they do."""
        return [rule for group in self.ask("rules")["groups"] for rule in group["rules"]]

    def samples(self, expression: str) -> list[Any]:
        """Return what an expression is now; raises AssertionError if Prometheus cannot read it."""
        return list((self.ask("query", query=expression) or {"result": []})["result"])


@contextmanager
def prometheus(folder: Path, services: tuple[Service, ...]) -> Iterator[Watcher]:
    """Run Prometheus on the shipped files; only the addresses and the times are ours."""
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(PROMETHEUS / name) for name in config["rule_files"]]
    config["scrape_configs"] = [job for job in config["scrape_configs"] if "dns_sd_configs" in job]
    for job in config["scrape_configs"]:
        (found,) = job.pop("dns_sd_configs")
        (name,) = found["names"]
        kind = [one for one in services if one.name.startswith(name)]
        job["static_configs"] = [{"targets": [f"{HOST}:{one.admin_port}" for one in kind]}]
    file, port = folder / "prometheus.yml", free_ports(1)[0]
    file.write_text(yaml.safe_dump(config))
    options = [f"--config.file={file}", f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address={HOST}:{port}"]
    with (folder / "prometheus.log").open("w") as log:
        command = guarded("prometheus", *options)
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log, cwd=PROMETHEUS.parents[1])
        with process:
            try:
                yield Watcher(port)
            finally:
                process.terminate()


def test_a_real_prometheus_sees_the_cluster(tmp_path: Path) -> None:
    """It scrapes every process, each panel has something to show, every rule works, and an outage is noticed."""
    keyed = Cluster(tmp_path, COMET_ADMIN_KEYS=f"ops:{KEY}")
    with running(keyed) as cluster, prometheus(tmp_path, cluster.services) as watcher:
        until(lambda: len(watcher.samples("up == 1")) == len(cluster.services), deadline=20)
        live(cluster)
        panels = list(panel_expressions())
        with suppress(AssertionError):
            until(lambda: all(watcher.samples(each) for _, each in panels), deadline=20)
        assert [pair for pair in panels if not watcher.samples(pair[1])] == []
        assert len(watcher.rules()) == len(rules())
        until(lambda: {rule["health"] for rule in watcher.rules()} == {"ok"})

        cluster.valkey.kill()
        down = 'ALERTS{alertname="CometRedisDown"}'
        until(lambda: len(watcher.samples(down)) == len(cluster.services), deadline=15)


def live(cluster: Cluster) -> None:
    """Let everything happen that a panel shows: subscribers, messages, a poll that comes back, a rebalance."""
    with StreamClient(cluster.a.port, "room") as stream, SseClient(cluster.b.port, "room") as events:
        for number in range(3):
            cluster.publish("room", str(number))
            assert stream.receive() == events.receive() == str(number)
        with Connection(cluster.a.admin_port) as admin:
            assert admin.post("/drain?to=0", "", **AS_OPERATOR).status == 202
        assert stream.next_object()["type"] == "close"
    assert get(cluster.a.port, "/poll", id="room", since="0").status == 200
    with Connection(cluster.publisher.port) as publisher:
        publisher.ask("/info", {}, **AS_OPERATOR)
        assert publisher.answer().status == 200
