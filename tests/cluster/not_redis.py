"""A server at Redis' address that is no Redis: it answers each command as it is told, whatever the command was."""

import socket
import socketserver
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

import hiredis

from tests.cluster.processes import HOST


class NotRedis:
    """Answers every command with `answer`; with `after` it acknowledges SUBSCRIBE first and sends that."""

    def __init__(self) -> None:
        self.answer = b"-LOADING wait\r\n"
        self.after = b""
        self.connections = 0
        self._open: set[socket.socket] = set()
        serve = self._serve

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with suppress(OSError):
                    serve(self.request)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            request_queue_size = 128

        self._server = Server((HOST, 0), Handler)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def become(self, answer: bytes, after: bytes = b"") -> None:
        """Answer otherwise from now on, also those who are connected."""
        self.answer, self.after, self.connections = answer, after, 0
        for held in list(self._open):
            with suppress(OSError):
                held.shutdown(socket.SHUT_RDWR)

    def _serve(self, held: socket.socket) -> None:
        self.connections += 1
        self._open.add(held)
        commands = hiredis.Reader(notEnoughData=None)
        try:
            while data := held.recv(65536):
                commands.feed(data)
                while (words := commands.gets()) is not None:
                    held.sendall(self._answer_to(words))
        finally:
            self._open.discard(held)

    def _answer_to(self, words: list[bytes]) -> bytes:
        if not self.after or words[0].upper() != b"SUBSCRIBE":
            return self.answer
        acknowledgement = b"*3\r\n$9\r\nsubscribe\r\n$%d\r\n%b\r\n:1\r\n"
        return b"".join(acknowledgement % (len(name), name) for name in words[1:]) + self.after
