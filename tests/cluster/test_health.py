"""Health and readiness of real processes: what each check says when something is wrong, and that nothing else does."""

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.server.listener import MAX_SURPLUS, RESERVED_FILES
from tests.cluster.clients import Json, StreamClient, get
from tests.cluster.processes import Cluster, Service
from tests.cluster.running import running
from tests.cluster.waiting import STARTING, until

LIMIT = 2


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return a cluster with an edge that is soon full; its Valkey may be killed."""
    settings = {"COMET_MAX_CONNECTIONS": str(LIMIT), "COMET_DRAIN_SECONDS": "600"}
    with running(Cluster(tmp_path_factory.mktemp("cluster"), edges="a", **settings)) as cluster:
        yield cluster
        for service in cluster.services:
            service.kill()


def checks(service: Service) -> tuple[int, Json]:
    """Return the status of /readyz and its JSON, after looking that the process is healthy."""
    assert (service.status("/healthz"), service.alive) == (200, True)
    answer = get(service.admin_port, "/readyz")
    return answer.status, answer.json


def failing(service: Service) -> list[str]:
    """Return the names of the checks that are not well."""
    status, detail = checks(service)
    bad = [name for name, check in detail.items() if name != "ready" and not check["ok"]]
    assert (status == 200) == detail["ready"] == (not bad)
    return bad


def test_each_check_has_its_name_and_figures(cluster: Cluster) -> None:
    """Readiness says what it was judged by."""
    _, edge = checks(cluster.a)
    assert list(edge) == ["ready", "redis", "drain", "room"]
    assert edge["room"] == {"ok": True, "connections": 0, "limit": LIMIT}
    assert edge["redis"]["connected"]
    assert 0 <= edge["redis"]["probe_age_seconds"] <= 10
    _, publisher = checks(cluster.publisher)
    assert list(publisher) == ["ready", "redis", "receipts", "drain"]


def test_a_full_edge_is_not_ready_until_a_client_leaves(cluster: Cluster) -> None:
    """Load balancers shall send newcomers where there is room; a client that is seated stays."""
    with StreamClient(cluster.a.port, "room") as stays:
        with StreamClient(cluster.a.port, "room"):
            assert failing(cluster.a) == ["room"]
        until(lambda: failing(cluster.a) == [])
        cluster.publish("room", "hi")
        assert stays.receive() == "hi"


def test_without_redis_no_process_is_ready_and_all_are_healthy(cluster: Cluster) -> None:
    """A restart would only send the subscribers away; they come back to life with Redis."""
    cluster.valkey.kill()
    until(lambda: failing(cluster.a) == ["redis"])
    until(lambda: failing(cluster.publisher) == ["redis", "receipts"])
    redis = checks(cluster.a)[1]["redis"]
    assert redis.pop("error")
    assert redis == {"ok": False, "connected": False, "probe_age_seconds": None}
    cluster.valkey.start()
    until(lambda: failing(cluster.a) == failing(cluster.publisher) == [])


@pytest.mark.system  # it takes seven seconds: a probe's time-out
def test_a_redis_that_does_not_answer_is_none(cluster: Cluster) -> None:
    """An open connection proves nothing: when probes do not come back the services are not ready."""
    cluster.valkey.pause()
    try:
        until(lambda: "redis" in failing(cluster.a) and "redis" in failing(cluster.publisher), deadline=15)
    finally:
        cluster.valkey.resume()
    until(lambda: failing(cluster.a) == failing(cluster.publisher) == [])


def test_a_draining_service_is_healthy_and_not_ready(cluster: Cluster) -> None:
    """It must not be restarted, and get no newcomers."""
    for service in cluster.services:
        service.signal(15)
        until(lambda service=service: failing(service) == ["drain"])


LITTLE = 'ulimit -Sn 300 && exec "$@"'  # as a login shell gives it: a soft limit far below the hard one


def test_an_edge_holds_as_many_as_the_hard_limit_allows(tmp_path: Path) -> None:
    """A soft limit of open files, which is not the operator's choice, does not bound it."""
    edge = Service("edge", "edge", "redis://127.0.0.1:1", {}, tmp_path)
    edge._command = ["sh", "-c", LITTLE, "sh", *edge._command]
    edge.start()
    try:
        until(lambda: edge.status("/healthz") == 200, STARTING)
        limit = get(edge.admin_port, "/readyz").json["room"]["limit"]
    finally:
        edge.kill()
    assert limit == resource.getrlimit(resource.RLIMIT_NOFILE)[1] - RESERVED_FILES - MAX_SURPLUS


def test_a_process_shows_no_password(tmp_path: Path) -> None:
    """Neither its log, when Redis cannot be reached, nor a page of its internal port holds what the URL holds."""
    edge = Service("edge", "edge", "redis://somebody:se%40cret@127.0.0.1:1/3", {}, tmp_path)
    edge.start()
    try:
        until(lambda: "redis is down" in edge.whole_log and "cannot announce itself" in edge.whole_log, STARTING)
        pages = [get(edge.admin_port, path).text for path in ("/readyz", "/metrics")]
    finally:
        edge.kill()
    assert not [text for text in (edge.whole_log, *pages) if "cret" in text or "somebody" in text]
