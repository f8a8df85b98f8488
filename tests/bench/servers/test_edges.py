"""Edges that a benchmark starts."""

from pathlib import Path

from bench.servers.edges import running_cluster

EDGE = """
import http.server, os
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        open("asked", "w").close()
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(os.environ["COMET_EDGE_ADMIN_PORT"])), Ready).serve_forever()
"""


def test_an_edge_runs_the_code_of_its_checkout(tmp_path: Path) -> None:
    """Whatever is installed in the environment: this one leaves a file in its own folder."""
    (tmp_path / "edge").mkdir()
    (tmp_path / "edge/__init__.py").touch()
    (tmp_path / "edge/__main__.py").write_text(EDGE)
    with running_cluster(1, "redis://127.0.0.1:1", checkout=tmp_path):
        assert (tmp_path / "asked").exists()
