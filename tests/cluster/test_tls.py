"""`rediss://`: both connections to Redis follow the TLS options of the URL, the subscribe connection as well."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cluster.clients import StreamClient
from tests.cluster.processes import Cluster, Valkey, free_ports
from tests.cluster.running import running
from tests.cluster.waiting import STARTING, until
from tests.faults.proxy import Proxy
from tests.lb.balancers import Certificate, self_signed

pytestmark = pytest.mark.system  # it needs openssl

OPTIONS = {
    "its certificate is trusted": "ssl_ca_certs={chain}&ssl_certfile={chain}&ssl_keyfile={key}",
    "its certificate is not looked at": "ssl_cert_reqs=none&ssl_certfile={both}",
}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """Return a certificate that is not signed; server and clients share it."""
    return self_signed(tmp_path_factory.mktemp("tls"))


@contextmanager
def redis_behind_tls(folder: Path, certificate: Certificate) -> Iterator[tuple[Valkey, Proxy]]:
    """Run a Valkey behind TLS that lets only clients with our certificate in."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.chain, certificate.key)
    context.load_verify_locations(certificate.chain)
    context.verify_mode = ssl.CERT_REQUIRED
    valkey = Valkey(free_ports(1)[0], folder)
    proxy = Proxy(valkey.port, tls=context).start()
    try:
        yield valkey, proxy
    finally:
        proxy.stop()


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_cluster_lives_on_a_redis_behind_tls(tmp_path: Path, certificate: Certificate, options: str) -> None:
    """Edge and publisher are ready, and a message goes from one to the other."""
    with redis_behind_tls(tmp_path, certificate) as (valkey, proxy):
        url = f"rediss://127.0.0.1:{proxy.port}?{options.format(**certificate._asdict())}"
        cluster = Cluster(tmp_path, edges="a", valkey=valkey, edge_redis=url, publisher_redis=url)
        with running(cluster), StreamClient(cluster.a.port, "room") as subscriber:
            assert cluster.publish("room", "hi").text == "ok\n"
            assert subscriber.receive() == "hi"


def test_a_certificate_that_is_not_trusted_is_told(tmp_path: Path, certificate: Certificate) -> None:
    """Without `ssl_ca_certs` the process runs and is not ready; its log says why."""
    with redis_behind_tls(tmp_path, certificate) as (valkey, proxy):
        cluster = Cluster(tmp_path, edges="a", valkey=valkey, edge_redis=f"rediss://127.0.0.1:{proxy.port}")
        valkey.start()
        cluster.a.start()
        try:
            until(lambda: "certificate verify failed" in cluster.a.log, STARTING)
            assert cluster.a.status("/readyz") == 503
        finally:
            cluster.stop()
