"""A name server for one name, whose addresses the test changes: what Docker or a cluster would answer."""

import socket
import struct
import threading
from types import TracebackType
from typing import Self

NAME = "edges.test"
ADDRESS, INTERNET, ANSWER, SECONDS = 1, 1, 0x8180, 1
HEADER = struct.Struct("!6H")


class NameServer:
    """Answers questions for the addresses of `NAME` on a UDP port of its own (RFC 1035 section 4)."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = list(addresses)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._socket.sendto(b"", ("127.0.0.1", self.port))  # an empty question ends it
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            question, asker = self._socket.recvfrom(4096)
            if not question:
                return
            self._socket.sendto(self.answer(question), asker)

    def answer(self, question: bytes) -> bytes:
        """Return the addresses, if it is they that are asked for; no records for any other kind."""
        number = HEADER.unpack_from(question)[0]
        end = question.index(b"\0", HEADER.size) + 5
        asked = question[HEADER.size : end]
        name = ".".join(_labels(asked))
        found = self.addresses if (name, asked[-3]) == (NAME, ADDRESS) else []
        record = struct.pack("!HHHIH", 0xC000 | HEADER.size, ADDRESS, INTERNET, SECONDS, 4)
        return (
            HEADER.pack(number, ANSWER, 1, len(found), 0, 0)
            + asked
            + b"".join(record + socket.inet_aton(address) for address in found)
        )


def _labels(asked: bytes) -> list[str]:
    labels, at = [], 0
    while length := asked[at]:
        labels.append(asked[at + 1 : at + 1 + length].decode().lower())
        at += 1 + length
    return labels
