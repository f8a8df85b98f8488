"""A client that is not ours tries the cases that WebSocket servers are commonly tried with (websocket_cases.py)."""

import json
import socket
from contextlib import suppress

import pytest

from tests.cluster.processes import HOST, Cluster

pytest.importorskip("wsproto", reason="wsproto is missing; install it with: make .venv/system")

from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Ping, Pong, Request, TextMessage

from tests.cluster.websocket_cases import CASES, Case

pytestmark = pytest.mark.system

PATIENCE = 8.0


class Client:
    """A connection whose other end wsproto judges: it raises for any frame that a server may not send."""

    def __init__(self, port: int) -> None:
        self.raw = socket.create_connection((HOST, port), PATIENCE)
        self.raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._protocol = WSConnection(ConnectionType.CLIENT)
        self.raw.sendall(self._protocol.send(Request(host="x", target="/ws")))
        self._parts: list[str] = []

    def answers(self) -> list[str]:
        """Return what comes next, at least one thing; none at the end of the connection."""
        found: list[str] = []
        while not found:
            data = self.raw.recv(65536)
            if not data:
                return []
            self._protocol.receive_data(data)
            found = [one for event in self._protocol.events() if (one := self._written(event))]
        return found

    def all_answers(self) -> list[str]:
        """Return what comes up to the end."""
        found: list[str] = []
        while more := self.answers():
            found += more
        return found

    def _written(self, event: object) -> str:
        """Return an event in the words of the cases."""
        if isinstance(event, TextMessage):
            self._parts.append(event.data)
            return self._object() if event.message_finished else ""
        if isinstance(event, CloseConnection):
            return f"close {int(event.code)}"
        if isinstance(event, Pong):
            return f"PONG {bytes(event.payload)!r}"
        assert isinstance(event, AcceptConnection | Ping), event
        return ""

    def _object(self) -> str:
        item = json.loads("".join(self._parts))
        self._parts.clear()
        return f"{item['type']} {item.get('ref', item.get('code', ''))}".strip()


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_websocket_is_served_as_rfc_6455_has_it(cluster: Cluster, case: Case) -> None:
    """Each message has its answer, each fault its close code, and then the connection ends."""
    client = Client(cluster.a.port)
    with client.raw:
        assert client.answers() == ["welcome"]
        with suppress(ConnectionError):  # it may have closed before all was sent
            for piece in case.pieces:
                client.raw.sendall(piece)
        assert client.all_answers() == list(case.answers)
