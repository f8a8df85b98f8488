"""Subscribers of a compared server that come and go and are not measured."""

from functools import partial

from bench.clients.publishing import CHANNEL, payload
from bench.servers.leftovers import Baseline, Leftovers
from bench.servers.server import Server

STREAM_PATH = f"/sse?id={CHANNEL}"
WEBSOCKET_PATH = f"/ws?id={CHANNEL}"


def stream_path(server: Server) -> str:
    """Return the path of a server's streams."""
    return WEBSOCKET_PATH if server.by_websocket else STREAM_PATH


def warm_up(server: Server) -> None:
    """Let a server do everything once, so that what it loads or allocates only once is not counted."""
    with server.running_load() as load:
        load.open_streams(1, stream_path(server))
        server.settle()
        server.publisher.publish([payload(10)])
        load.wait_for_messages(1)
    server.settle()


def come_and_go(server: Server, count: int) -> None:
    """Open `count` streams and close them at once."""
    with server.running_load() as load:
        load.open_streams(count, stream_path(server))


class Churn:
    """Knows what a warm server had before its subscribers came, and what they leave behind."""

    def __init__(self, server: Server, forget_seconds: float) -> None:
        warm_up(server)
        self._server = server
        self._baseline = Baseline(server, forget_seconds)

    def leftovers(self, count: int) -> Leftovers:
        """Compare when all of `count` subscribers have left."""
        return self._baseline.compare(count, partial(come_and_go, self._server, count))
