"""Which sockets are ready: epoll on Linux, the standard library's selectors elsewhere, behind one interface."""

import select
import selectors
from typing import Protocol

# The event masks are those of epoll on every platform.
READ, WRITE, ERROR, HANGUP, READ_HANGUP = 0x1, 0x4, 0x8, 0x10, 0x2000


class Poller(Protocol):
    """The part of `select.epoll` that is used. Its `fileno()` is readable when a socket is ready, so pollers nest."""

    def fileno(self) -> int:
        """Return the descriptor by which an outer loop watches this poller."""

    def register(self, fd: int, eventmask: int) -> None:
        """Begin to watch a descriptor."""

    def modify(self, fd: int, eventmask: int) -> None:
        """Change the events for which a descriptor is watched."""

    def unregister(self, fd: int) -> None:
        """Stop watching a descriptor."""

    def poll(self, timeout: float, maxevents: int) -> list[tuple[int, int]]:
        """Wait up to `timeout` seconds; return a pair (descriptor, events) for at most `maxevents` that are ready."""

    def close(self) -> None:
        """Close the poller's own descriptor."""


class SelectorPoller:
    """A `Poller` on `selectors.DefaultSelector`, for platforms without epoll; kqueue's pollers nest, too."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    def fileno(self) -> int:
        """Return the selector's own descriptor."""
        return self._selector.fileno()

    def register(self, fd: int, eventmask: int) -> None:
        """Begin to watch for reading and writing; a hang-up shows as an empty read."""
        events = _selector_events(eventmask)
        if events:
            self._selector.register(fd, events)

    def modify(self, fd: int, eventmask: int) -> None:
        """Change the events; a descriptor without any is not registered with the selector."""
        self.unregister(fd)
        self.register(fd, eventmask)

    def unregister(self, fd: int) -> None:
        """Stop watching."""
        if fd in self._selector.get_map():
            self._selector.unregister(fd)

    def poll(self, timeout: float, maxevents: int) -> list[tuple[int, int]]:
        """Return what is ready; the next call finds what is beyond `maxevents`."""
        ready = self._selector.select(timeout)[:maxevents]
        return [
            (key.fd, (READ if mask & selectors.EVENT_READ else 0) | (WRITE if mask & selectors.EVENT_WRITE else 0))
            for key, mask in ready
        ]

    def close(self) -> None:
        """Close the selector."""
        self._selector.close()


def _selector_events(events: int) -> int:
    return (selectors.EVENT_READ if events & READ else 0) | (selectors.EVENT_WRITE if events & WRITE else 0)


def make_poller() -> Poller:
    """Return the best poller of this platform."""
    return select.epoll() if hasattr(select, "epoll") else SelectorPoller()
