"""The probe: a message to ourselves that proves that a connection delivers. Pure: it is told the time."""

from itertools import count

EVERY = 5.0  # seconds from the return of one probe to the next
DEADLINE = 2.0  # seconds in which a probe must be back
PROOF_LASTS = 10.0  # seconds that the connection counts as proved after a probe came back


class Probe:
    """What is known of the probes of one connection after the other; all times are those of one steady clock."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self._payload = b""  # of the probe that is out
        self._sent_at = 0.0
        self._proved_at = float("-inf")

    def send(self, now: float) -> bytes:
        """Return what the next probe carries."""
        self._payload, self._sent_at = b"%d" % next(self._numbers), now
        return self._payload

    def take(self, payload: bytes, now: float) -> float | None:
        """A probe came back: return the seconds that it took, or None if it is not the one that is out."""
        if payload != self._payload:
            return None
        self._payload, self._proved_at = b"", now
        return now - self._sent_at

    def forget(self) -> None:
        """The connection is gone: what it has proved does not count for the next one."""
        self._payload, self._proved_at = b"", float("-inf")

    def age(self, now: float) -> float:
        """Return how many seconds ago a probe came back; infinite if none has."""
        return now - self._proved_at

    def is_proved(self, now: float) -> bool:
        """Say whether a probe came back lately (I12)."""
        return self.age(now) <= PROOF_LASTS
