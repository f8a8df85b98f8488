"""The metrics page of real processes: what docs/metrics.md says is there, and the figures tell what happened."""

import pytest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.cluster.clients import PollClient, SseClient, StreamClient, get
from tests.cluster.processes import Cluster, Service
from tests.cluster.waiting import until
from tests.test_docs import documented


def page(service: Service) -> dict[str, Metric]:
    """Return the series of a process by the names that Prometheus shows."""
    found = text_string_to_metric_families(get(service.admin_port, "/metrics").text)
    return {metric.name + ("_total" if metric.type == "counter" else ""): metric for metric in found}


@pytest.mark.parametrize(("section", "name"), [("Edge", "edge-a"), ("Publisher", "publisher")])
def test_a_process_exposes_exactly_what_is_documented(cluster: Cluster, section: str, name: str) -> None:
    """Name and type of every series, and no label that the page does not name."""
    service = next(one for one in cluster.services if one.name == name)
    rows = {row[0]: row for row in documented(section)}
    series = page(service)
    assert {each: metric.type for each, metric in series.items()} == {each: row[1] for each, row in rows.items()}
    for each, metric in series.items():
        labels = {label for sample in metric.samples for label in sample.labels} - {"le"}
        assert labels <= rows[each][2], each


def test_a_message_leaves_its_traces(cluster: Cluster, channel: str) -> None:
    """One fan-out is timed from the publish to the last write, once and not per subscriber; the rest counts as said."""
    edge, publisher = cluster.a, cluster.publisher
    until(lambda: edge.metric("comet_redis_probe_seconds_count") > 0)
    names = ("comet_delivery_latency_seconds", "comet_fanout_duration_seconds")
    before = [edge.metric(f"{name}_count") for name in names]
    sums = [edge.metric(f"{name}_sum") for name in names]
    published = publisher.metric("comet_publish_duration_seconds_count")
    with StreamClient(edge.port, channel) as one, SseClient(edge.port, channel) as two:
        cluster.publish(channel, "hi")
        assert (one.receive(), two.receive()) == ("hi", "hi")
        until(lambda: [edge.metric(f"{name}_count") for name in names] == [count + 1 for count in before])
    assert publisher.metric("comet_publish_duration_seconds_count") == published + 1
    latency, fanout = (edge.metric(f"{name}_sum") - sum_before for name, sum_before in zip(names, sums, strict=True))
    assert 0 < fanout < latency < 5
    assert edge.metric("comet_connections_limit") > 100
    for service in (edge, publisher):
        until(lambda service=service: service.metric("comet_event_loop_lag_seconds_count") > 0)
        assert service.metric("comet_draining") == 0
        assert service.metric("process_cpu_seconds_total") > 0


def test_a_poll_is_a_fan_out_too(cluster: Cluster, channel: str) -> None:
    """A poller's answer is timed like any other write."""
    edge = cluster.a
    before = edge.metric("comet_delivery_latency_seconds_count")
    with PollClient(edge.port, channel) as poller:
        cluster.publish_and_receive(poller, channel, "hi")
        assert poller.receive() == "hi"
    assert edge.metric("comet_delivery_latency_seconds_count") >= before + 1


def test_a_plain_publish_is_counted_by_each_edge_that_hears_it(cluster: Cluster, channel: str) -> None:
    """Whichever edge was first to hand it in: it has a position now."""
    before = [edge.metric("comet_adopted_total") for edge in (cluster.a, cluster.b)]
    with StreamClient(cluster.a.port, channel) as one, StreamClient(cluster.b.port, channel) as two:
        cluster.valkey.publish(channel, "hi")
        assert (one.receive(), two.receive()) == ("hi", "hi")
        for edge, count in zip((cluster.a, cluster.b), before, strict=True):
            until(lambda edge=edge, count=count: edge.metric("comet_adopted_total") == count + 1)
