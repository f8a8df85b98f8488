"""Sessions: the names of held connections, by which a request on another connection can change their channels.

The session of a held connection is derived from its descriptor and not stored. The client reads it in its welcome, and
it cannot be guessed: so a request that names it comes from the connection's own client. It begins with the edge's id
and a dot, so that every edge knows which one to ask. A poll has no welcome, so its client may make up a session, which
lasts as long as the poll is held. See docs/decisions/0006-sessions.md.
"""

from base64 import urlsafe_b64decode
from binascii import Error, b2a_base64
from hashlib import blake2b
from hmac import compare_digest
from secrets import token_bytes
from typing import Protocol

from edge.framing.items import SESSION_BLANK
from edge.state import Seat

PROOF_BYTES = 15  # with FD_BYTES a multiple of three, so that base64 needs no padding
FD_BYTES = 3
_URL_SAFE = bytes.maketrans(b"+/", b"-_")


class SeatTable(Protocol):
    """The part of the seats that sessions use."""

    def get(self, fd: int) -> Seat | None:
        """Return the seat of a descriptor."""

    def generation(self, fd: int) -> int:
        """Return how many connections a descriptor number has had."""


class Sessions:
    """The sessions of one edge; `blank` stands for any of them in bytes that many connections share."""

    def __init__(self, edge_id: str, seats: SeatTable, key: bytes | None = None) -> None:
        self.edge_id = edge_id
        self._seats = seats
        self._proof = blake2b(key=key or token_bytes(32), digest_size=PROOF_BYTES)
        self._start = f"{edge_id}.".encode()
        self._own: dict[str, Seat] = {}  # sessions of the clients' own making
        self.named: dict[Seat, str] = {}  # seats whose session is of their client's making
        self.blank = SESSION_BLANK * (len(self._start) + (FD_BYTES + PROOF_BYTES) * 4 // 3)
        self._blank_bytes = self.blank.encode()

    def of(self, seat: Seat) -> str:
        """Return the session of a held connection, which lasts as long as the connection."""
        return self._derive(seat).decode()

    def fill(self, seat: Seat, data: bytes) -> bytes:
        """Return shared bytes with a held connection's session in place of the blank."""
        return data.replace(self._blank_bytes, self._derive(seat))

    def find(self, session: str) -> Seat | None:
        """Return the held seat that has a session on this edge."""
        if "." not in session:
            return self._own.get(session)
        seat = self._seats.get(_descriptor(session.rpartition(".")[2]))
        if seat is None or seat.framing is None or seat.framing.single_response:
            return None
        return seat if compare_digest(self._derive(seat), session.encode()) else None

    def name(self, seat: Seat, session: str) -> None:
        """Give a poll the session that its client made up; a seat that has it loses it."""
        before = self._own.pop(session, None)
        if before is not None:
            del self.named[before]
        self._own[session], self.named[seat] = seat, session

    def name_of(self, seat: Seat) -> str:
        """Return the session that a poll's client made; empty without."""
        return self.named.get(seat, "")

    def sign(self, seat: Seat, answer: bytes) -> bytes:
        """Return a poll's answer with its session where it is blank: in the first blank of its length."""
        name = self.named.get(seat)
        if name is None:
            return answer
        return answer.replace(b'"%b"' % (SESSION_BLANK * len(name)).encode(), b'"%b"' % name.encode(), 1)

    def forget(self, seat: Seat) -> None:
        """End the session that a seat has by name, if it has one."""
        session = self.named.pop(seat, None)
        if session is not None:
            del self._own[session]

    def _derive(self, seat: Seat) -> bytes:
        """Return the edge's id, a dot, and in base64 the descriptor with a proof of it and its generation.

        The kernel reuses descriptors; descriptor and generation together are never used again (S3).
        """
        fd = seat.fd
        about = fd.to_bytes(FD_BYTES) + self._seats.generation(fd).to_bytes(8)
        proof = self._proof.copy()
        proof.update(about)
        return self._start + b2a_base64(about[:FD_BYTES] + proof.digest(), newline=False).translate(_URL_SAFE)


def _descriptor(text: str) -> int:
    """Return the descriptor in the part of a session after the dot; -1 if there is none."""
    try:
        return int.from_bytes(urlsafe_b64decode(text)[:FD_BYTES])
    except (Error, ValueError):
        return -1
