"""A deployed site: pages and edges under the address of one load balancer."""

from tests.cluster.clients import get
from tests.cluster.processes import HOST, Cluster
from tests.cluster.waiting import STARTING, until
from tests.lb.balancers import Balancer, Edge

DRAIN = 4.0  # seconds; for half of them load balancers may notice it
HEARTBEAT = 0.5
SETTINGS = {
    "COMET_DRAIN_SECONDS": str(DRAIN),
    "COMET_HEARTBEAT": str(HEARTBEAT),
    "COMET_POLL_TIMEOUT": "1",
    "COMET_LINGER": "1",
    "COMET_DEMO": "1",
}


class Site:
    """A load balancer in front of two edges and the publisher of the pages."""

    def __init__(self, cluster: Cluster, balancer: Balancer) -> None:
        self.cluster = cluster
        self.url = f"http://{HOST}:{balancer.port}"

    @property
    def edges(self) -> list[Edge]:
        """The edges of the cluster."""
        return [edge for edge in self.cluster.edges if isinstance(edge, Edge)]

    def publish(self, channel: str, content: str) -> None:
        """Publish, also while no client is connected."""
        self.cluster.publish(channel, content)

    def subscribers(self, channel: str) -> int:
        """Return the number of subscribers of a channel on all edges."""
        return int(get(self.cluster.publisher.port, "/info", id=channel).json["subscribers"])

    def serving(self) -> Edge:
        """Return the edge that holds the only connection."""
        return until(lambda: next((edge for edge in self.edges if edge.alive and edge.held), None))

    def restore(self) -> None:
        """Start the killed edges, and wait until all are ready and no client is connected any more."""
        for edge in self.edges:
            if not edge.alive:
                edge.start()
        self.cluster.wait_ready()
        until(lambda: not any(edge.held for edge in self.edges), STARTING)
