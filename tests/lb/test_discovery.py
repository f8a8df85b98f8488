"""HAProxy finds the edges by DNS: they come and go without a reload."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.cluster.clients import StreamClient, get
from tests.cluster.processes import Cluster
from tests.cluster.waiting import until
from tests.lb.balancers import DiscoveringHaproxy
from tests.lb.conftest import EACH, balancing
from tests.lb.names import NameServer
from tests.lb.test_failover import NOT_READY

pytestmark = [pytest.mark.system, *EACH[1].marks]


@pytest.mark.timeout(120)
def test_edges_come_and_go_by_their_name(fragile_edges: Cluster, tmp_path: Path, channel: str) -> None:
    """A new address gets clients, one that is gone gets no more; when none is ready they are asked all the same."""
    cluster = fragile_edges
    with ExitStack() as stack:
        names = stack.enter_context(NameServer(cluster.a.host))
        balancer = DiscoveringHaproxy(tmp_path, cluster.edges, cluster.publisher, names.port)
        port = stack.enter_context(balancing(balancer)).port
        until(lambda: get(balancer.own_port, "/readyz").status == 200)
        first = stack.enter_context(StreamClient(port, channel))
        assert (cluster.a.held, cluster.b.held) == (1, 0)

        names.addresses.append(cluster.b.host)
        until(lambda: get(port, "/poll", id=channel, timeout="0").status == 200 and "edge2 " in up(balancer))
        stack.enter_context(StreamClient(port, channel))
        assert (cluster.a.held, cluster.b.held) == (1, 1)

        names.addresses.remove(cluster.a.host)
        until(lambda: len(up(balancer).split()) == 1, 30)
        for _ in range(3):
            stack.enter_context(StreamClient(port, channel))
        assert (cluster.a.held, cluster.b.held) == (1, 4)
        cluster.publish(channel, "still here")
        assert first.receive() == "still here"

        cluster.valkey.kill()
        until(lambda: get(balancer.own_port, "/readyz").status == 503, NOT_READY)
        answer = get(port, "/sse", id=channel)
        assert (answer.status, answer.text.startswith("retry:")) == (200, True), answer


def up(balancer: DiscoveringHaproxy) -> str:
    """Return the names of the edges that HAProxy sends clients to."""
    lines = get(balancer.own_port, "/metrics").text.splitlines()
    wanted = [line for line in lines if line.startswith("haproxy_server_status{") and 'proxy="edges"' in line]
    names = [line.split('"')[3] for line in wanted if 'state="UP"' in line and line.endswith(" 1")]
    return "".join(f"{name} " for name in names)
