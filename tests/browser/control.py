"""An HTTP address by which a page that tests a cluster publishes to it, kills its edges and wipes it."""

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.cluster.clients import Connection
from tests.cluster.processes import HOST, Cluster


class Control:
    """The requests of a page; each method is one path."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def publish(self, **message: str) -> None:
        """Publish one message through the publisher."""
        with Connection(self._cluster.publisher.port) as connection:
            answer = connection.post("/pub", message)
        assert answer.status == 200, answer.text

    def kill(self, url: str) -> None:
        """Kill the edge at a URL, as a crash would."""
        next(edge for edge in self._cluster.edges if url == edge.url).kill()

    def revive(self) -> None:
        """Start the killed edges again, and wait until all are ready."""
        for edge in self._cluster.edges:
            if not edge.alive:
                edge.start()
        self._cluster.wait_ready()

    def forget(self) -> None:
        """Delete everything in Valkey; the edges find out by their audit."""
        with self._cluster.valkey.client() as redis:
            redis.flushall()


@contextmanager
def controlling(cluster: Cluster) -> Iterator[str]:
    """Serve the control of a cluster while the block runs; yields its address."""
    with ThreadPoolExecutor(1) as worker:  # a process dies with the thread that started it: see comet.guard
        server = ThreadingHTTPServer((HOST, 0), _handler(Control(cluster), worker))
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            yield f"http://{HOST}:{server.server_port}"
        finally:
            server.shutdown()
            serving.join()
            server.server_close()


def _handler(control: Control, worker: Executor) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            method: Callable[..., None] = getattr(control, self.path[1:])
            try:
                worker.submit(method, **body).result()
            except Exception as error:  # the test in the page fails with this text
                self._answer(500, repr(error))
            else:
                self._answer(200, "ok")

        def _answer(self, status: int, text: str) -> None:
            self.send_response(status)
            self.send_header("Access-Control-Allow-Origin", "*")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler
