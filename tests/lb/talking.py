"""How the tests talk: to any address, raw, by curl with HTTP/2, and as an edge that misbehaves on purpose."""

import http.client
import json
import socket
import ssl
import subprocess
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from websockets.sync.client import connect

from tests.cluster.clients import READ_DEADLINE, Answer


def ask(host: str, port: int, path: str, method: str = "GET", **headers: str) -> Answer:
    """Do one request and read the whole answer."""
    connection = http.client.HTTPConnection(host, port, timeout=READ_DEADLINE)
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return Answer(response.status, dict(response.getheaders()), response.read().decode())
    finally:
        connection.close()


def listening(port: int) -> bool:
    """Say whether a process listens on this machine's port."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


class CurlStream:
    """A stream that curl holds by HTTP/2 over TLS. `with` enters when it was welcomed."""

    def __init__(self, port: int, channel: str) -> None:
        url = f"https://localhost:{port}/sub?id={channel}"
        self._command = ["curl", "-sNki", "--http2", "--max-time", "60", url]
        self.head: list[str] = []

    def __enter__(self) -> Self:
        self._curl = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        assert self._curl.stdout is not None
        self._lines = self._curl.stdout
        self.head = [line.strip() for line in iter(self._lines.readline, "\n") if line]
        assert self.next_object()["type"] == "welcome", self.head
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._curl.kill()
        self._curl.wait()
        self._lines.close()

    def next_object(self) -> dict[str, Any]:
        """Read the next object; empty lines are heartbeats."""
        while line := self._lines.readline():
            if line.strip():
                return json.loads(line)  # type: ignore[no-any-return]
        raise EOFError

    def receive(self) -> str:
        """Read the next message."""
        return str(self.next_object()["content"])


class WebSocketClient:
    """A WebSocket, by a client library. `with` enters when it was welcomed."""

    def __init__(self, port: int, channel: str, *, tls: bool = False) -> None:
        self._where = f"{'wss' if tls else 'ws'}://localhost:{port}/ws?id={channel}"
        self._trust = ssl._create_unverified_context() if tls else None

    def __enter__(self) -> Self:
        patience: dict[str, Any] = {"open_timeout": READ_DEADLINE, "close_timeout": 1}
        self._held = connect(self._where, ssl=self._trust, proxy=None, ping_interval=None, **patience)
        self.socket = self._held.__enter__()
        assert self.next_object()["type"] == "welcome"
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._held.__exit__(kind, error, at)

    def next_object(self) -> dict[str, Any]:
        """Read the next object."""
        return json.loads(self.socket.recv(READ_DEADLINE))  # type: ignore[no-any-return]

    def receive(self) -> str:
        """Read the next message."""
        return str(self.next_object()["content"])


class Backend:
    """Stands where an edge or the publisher should: is ready, notes what it is asked, and answers or hangs up."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0, *, hangs_up: bool = False) -> None:
        self.requests: list[tuple[str, dict[str, str]]] = []
        notes = self.requests

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.close_connection = True
                if self.path != "/readyz":
                    notes.append((f"{self.command} {self.path}", {k.lower(): v for k, v in self.headers.items()}))
                    if hangs_up:
                        return
                self.send_response(200)
                self.send_header("Connection", "close")
                self.send_header("Content-Length", "3")
                self.end_headers()
                self.wfile.write(b"ok\n")

            do_POST = do_GET  # noqa: N815  # http.server calls it so

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer((host, port), Handler)
        self._server.daemon_threads = True
        self.host = host
        self.port = self.admin_port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening; harmless if it was done before."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
