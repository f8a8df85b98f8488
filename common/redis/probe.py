"""The probe: a message of a process to itself that proves a connection delivers. Pure: it is given the time."""

from itertools import count

PROBE_INTERVAL = 5.0  # seconds from the return of one probe to the next
SUSPICION_PAUSE = 0.5  # seconds at least to the next, although something failed meanwhile
PROBE_TIMEOUT = 2.0  # seconds in which a probe must be back
PROOF_LIFETIME = 10.0  # seconds that the connection counts as proved after a probe came back


class Probe:
    """The state of the probes of one connection after the other; all times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self._payload = b""  # of the probe that is on its way
        self._sent_at = 0.0
        self._proved_at = float("-inf")

    def send(self, now: float) -> bytes:
        """Return the payload of the next probe."""
        self._payload, self._sent_at = b"%d" % next(self._numbers), now
        return self._payload

    def on_return(self, payload: bytes, now: float) -> float | None:
        """Return the seconds that a returned probe took, or None if it is not the one that is on its way."""
        if payload != self._payload:
            return None
        self._payload, self._proved_at = b"", now
        return now - self._sent_at

    def forget(self) -> None:
        """Drop the proof of a connection that is lost: it does not count for the next one."""
        self._payload, self._proved_at = b"", float("-inf")

    def age(self, now: float) -> float:
        """Return how many seconds ago a probe came back; infinite if none has."""
        return now - self._proved_at

    def is_proved(self, now: float) -> bool:
        """Say whether a probe came back recently (I12)."""
        return self.age(now) <= PROOF_LIFETIME
