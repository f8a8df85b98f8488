"""`comet health`: the exit code that HEALTHCHECK and scripts go by."""

import socket
from collections.abc import Iterator

import pytest

from comet.errors import HealthError
from comet.health import Verdict, combine, health, read_url
from tests.cluster.processes import Cluster, Valkey, free_ports
from tests.cluster.running import running
from tests.cluster.waiting import until
from tests.comet.commands import comet


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return one edge and a publisher whose Valkey may be taken away."""
    with running(Cluster(tmp_path_factory.mktemp("health"), edges="a")) as cluster:
        yield cluster


def ports(edge: int, publisher: int) -> dict[str, str]:
    """Return the settings that name the internal ports."""
    return {"COMET_EDGE_ADMIN_PORT": str(edge), "COMET_PUBLISHER_ADMIN_PORT": str(publisher)}


@pytest.mark.parametrize("target", ["edge", "publisher", None, "url"])
def test_a_service_that_runs_is_healthy(cluster: Cluster, target: str | None) -> None:
    """Exit code 0 and one line, for a service by its name, for its URL, and for whatever runs here."""
    settings = ports(cluster.a.admin_port, cluster.publisher.admin_port)
    if target == "url":
        target, settings = f"http://127.0.0.1:{cluster.a.admin_port}", {}

    answer = comet("health", *([target] if target else []), **settings)

    assert (answer.returncode, answer.stderr) == (0, "")
    assert '/healthz with 200 {"status":"ok"}' in answer.stdout
    assert answer.stdout.count("\n") == 1


def test_one_service_of_the_two_is_enough(cluster: Cluster) -> None:
    """In a container only one of them runs, and it need not be said which."""
    unused = free_ports(1)[0]

    answer = comet("health", **ports(unused, cluster.publisher.admin_port))

    assert answer.returncode == 0
    assert "edge" not in answer.stdout


def test_a_service_without_redis_is_alive_and_not_ready(cluster: Cluster) -> None:
    """A health check must not restart an edge whose Redis is away: only `--ready` fails, and shows the detail."""
    edge, valkey = cluster.a, cluster.valkey
    settings = ports(edge.admin_port, cluster.publisher.admin_port)
    assert comet("health", "edge", "--ready", **settings).returncode == 0

    valkey.kill()
    try:
        until(lambda: not edge.ready)
        alive, ready = comet("health", "edge", **settings), comet("health", "edge", "--ready", **settings)
    finally:
        valkey.start()

    assert alive.returncode == 0
    assert ready.returncode == 1
    assert "/readyz with 503" in ready.stderr
    assert '"ready":false' in ready.stderr


def test_a_port_on_which_nothing_listens_is_unhealthy() -> None:
    """Exit code 1 and one line that names service and port."""
    unused = free_ports(2)

    answer = comet("health", **ports(*unused))

    assert (answer.returncode, answer.stdout) == (1, "")
    assert f"no edge on localhost:{unused[0]}" in answer.stderr
    assert f"no publisher on localhost:{unused[1]}" in answer.stderr
    assert answer.stderr.count("\n") == 1


def test_a_server_that_hangs_is_unhealthy(monkeypatch: pytest.MonkeyPatch) -> None:
    """An event loop that turns no more accepts, and never answers."""
    monkeypatch.setattr("comet.health.ANSWER_TIMEOUT", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        verdict = health(f"http://127.0.0.1:{silent.getsockname()[1]}", ready=False)

    assert verdict.listening
    assert not verdict.healthy
    assert "does not answer /healthz: timed out" in verdict.sentence


def test_a_server_of_another_kind_is_unhealthy(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What does not speak HTTP is said so, without a traceback."""
    valkey = Valkey(free_ports(1)[0], tmp_path_factory.mktemp("other"))
    valkey.start()
    try:
        verdict = health(f"http://127.0.0.1:{valkey.port}", ready=False)
    finally:
        valkey.stop()

    assert not verdict.healthy
    assert "does not answer /healthz" in verdict.sentence


@pytest.mark.parametrize("target", ["egde", "https://x:1", "http://", "http://x:99999", "http://x:0", "ftp://x", ""])
def test_a_wrong_target_is_one_clear_sentence(target: str) -> None:
    """What is neither a service nor a plain HTTP URL is refused with what was expected."""
    with pytest.raises(HealthError, match="is not edge, publisher or a URL like http://"):
        read_url(target)


def test_a_wrong_setting_is_one_clear_sentence() -> None:
    """The variable that should name the port is named, as by the service itself."""
    answer = comet("health", "edge", COMET_EDGE_ADMIN_PORT="many")

    assert answer.returncode == 1
    assert "COMET_EDGE_ADMIN_PORT='many'" in answer.stderr
    assert answer.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("host", "asked"),
    [("0.0.0.0", "127.0.0.1"), ("::", "localhost"), ("192.0.2.7", "192.0.2.7"), ("localhost", "localhost")],
)
def test_a_service_on_every_interface_is_asked_on_loopback(
    host: str, asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An address to listen on is not always one to connect to."""
    monkeypatch.setenv("COMET_ADMIN_HOST", host)
    seen: list[str] = []
    monkeypatch.setattr("comet.health.ask", lambda _name, at, *_: seen.append(at) or Verdict(True, True, ""))

    health("edge", ready=False)

    assert seen == [asked]


def test_an_ill_service_is_not_hidden_by_a_well_one() -> None:
    """Where both services run, both must be well."""
    well, ill = Verdict(True, True, "well"), Verdict(False, True, "ill")

    assert combine([well, ill]) == Verdict(False, True, "well; ill")
