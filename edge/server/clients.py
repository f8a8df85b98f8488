"""Clients: the addresses that connections and requests come from, and what each of them may have and do.

An edge has this part only if a limit by address is set, or the PROXY protocol. A connection counts for its address from
its acceptance to its end. One of a trusted proxy carries requests of many clients: there each subscriber counts, from
its request until it is not held any more.
"""

from collections import Counter as Counts
from collections.abc import Callable, Collection, Container, Mapping
from typing import NamedTuple

from common.access.rates import Rate
from edge.counters import Counters
from edge.protocol.operations import Operation
from edge.protocol.proxies.forwarded import client_address
from edge.protocol.proxies.networks import Networks, client_of
from edge.state import Seat

MARGIN = 64  # connections over the limit that are accepted all the same, to be told so
# The limits by the names of their settings, as they are counted.
CONNECTIONS = "max_connections_per_address"
CHANNELS = "new_channels_per_minute"
SUBSCRIPTIONS = "subscriptions_per_second"
HISTORY = "history_bytes_per_second"
SENTENCES = {
    CONNECTIONS: "your address has too many connections here; close some",
    CHANNELS: "your address has subscribed to too many new channels; try again later",
    SUBSCRIPTIONS: "your address subscribes too often; try again later",
    HISTORY: "your address has read too much history; go on from your position later",
}


class ClientLimits(NamedTuple):
    """What one address may have and do; 0 is no limit. `expects_preface`: proxies send a PROXY line."""

    trusted: tuple[str, ...] = ()
    expects_preface: bool = False
    connections: int = 0
    channels_per_minute: int = 0
    subscriptions_per_second: int = 0
    history_bytes_per_second: int = 0

    @property
    def are_needed(self) -> bool:
        """Whether anything has to be known of clients."""
        return self.expects_preface or any(self[2:])


class Clients:
    """What the clients of an edge have and do; `channels` are the names that it knows."""

    def __init__(
        self, limits: ClientLimits, channels: Container[str], counters: Counters, clock: Callable[[], float]
    ) -> None:
        self.prefaced: set[Seat] = set()  # connections whose PROXY line is still to come
        self._trusted = Networks(limits.trusted)
        self._expects_preface = limits.expects_preface
        self._max_connections = limits.connections
        self._channel_rate: Rate[str] = Rate(limits.channels_per_minute, 60.0, clock)
        self._subscription_rate: Rate[str] = Rate(limits.subscriptions_per_second, 1.0, clock)
        self._history_rate: Rate[str] = Rate(limits.history_bytes_per_second, 1.0, clock)
        self._channels = channels
        self._counters = counters
        self._peers: dict[Seat, str] = {}  # where each connection comes from
        self._counted: dict[Seat, str] = {}  # the client that a connection counts for
        self._over: set[Seat] = set()  # connections over the limit, to be told so
        self._connections: Counts[str] = Counts()

    # Connections and subscribers come and go.

    def enter(self, seat: Seat, peer: str) -> bool:
        """A connection was accepted, or its proxy said where it comes from; return whether it may stay."""
        self._peers[seat] = peer
        if peer in self._trusted:
            return True
        client = client_of(peer)
        self._count(seat, client)
        over = self._connections[client] - self._max_connections if self._max_connections else 0
        if over > 0:
            self._over.add(seat)
        if over > MARGIN:
            self._counters.limited_total[CONNECTIONS] += 1
        return over <= MARGIN

    def expects_preface(self, seat: Seat) -> bool:
        """Say whether a connection that was accepted begins with a PROXY line; only trusted proxies send one."""
        if self._expects_preface and self._peers[seat] in self._trusted:
            self.prefaced.add(seat)
            return True
        return False

    def leave(self, seat: Seat) -> None:
        """A subscriber is held no longer, and its connection may be closed."""
        is_gone = seat.fd < 0
        if is_gone or self._peers.get(seat, "") in self._trusted:
            client = self._counted.pop(seat, None)
            if client is not None:
                self._uncount(client)
        if is_gone:
            self._peers.pop(seat, None)
            self._over.discard(seat)
            self.prefaced.discard(seat)

    def _count(self, seat: Seat, client: str) -> None:
        before = self._counted.get(seat)
        if before is not None:
            self._uncount(before)
        self._counted[seat] = client
        self._connections[client] += 1

    def _uncount(self, client: str) -> None:
        self._connections[client] -= 1
        if not self._connections[client]:
            del self._connections[client]

    # What they ask for.

    def refusal(
        self, seat: Seat, headers: Mapping[str, str], channels: Collection[str], *, holds: bool, goes_back: bool = False
    ) -> str:
        """Say why a request for these channels is refused, or return "": then it counts.

        With `holds` the connection is a subscriber from now on; with `goes_back` it asks for messages of the past.
        """
        client = self._client(seat, headers)
        is_over = holds and self._is_over(seat, client)
        limit = CONNECTIONS if is_over else self._broken_rate(client, channels, goes_back) if client else ""
        if limit:
            self._counters.limited_total[limit] += 1
            return SENTENCES[limit]
        if holds and client and seat not in self._counted:
            self._count(seat, client)
        return ""

    def refusal_of_held(self, seat: Seat, operation: Operation) -> str:
        """Say why a held subscriber may not join one more channel, or return ""."""
        client = self._counted.get(seat, "")
        limit = self._broken_rate(client, (operation.channel,), operation.goes_back) if client else ""
        if limit:
            self._counters.limited_total[limit] += 1
        return SENTENCES[limit] if limit else ""

    def sent_history(self, seat: Seat, size: int) -> None:
        """A held subscriber is sent this many bytes of messages that it had missed."""
        client = self._counted.get(seat, "")
        if client:
            self._history_rate.spend(client, size)

    def _client(self, seat: Seat, headers: Mapping[str, str]) -> str:
        address = client_address(self._peers.get(seat, ""), headers, self._trusted)
        return client_of(address) if address else ""

    def _is_over(self, seat: Seat, client: str) -> bool:
        if seat in self._counted:
            if self._connections[client] <= self._max_connections:
                self._over.discard(seat)  # others have left
            return seat in self._over
        return 0 < self._max_connections <= self._connections[client] and bool(client)

    def _broken_rate(self, client: str, channels: Collection[str], goes_back: bool) -> str:
        """Return the limit that a client crosses by subscribing to these channels, or ""."""
        if goes_back and self._history_rate.is_spent(client):
            return HISTORY
        if not self._subscription_rate.take(client, max(len(channels), 1)):
            return SUBSCRIPTIONS
        new = sum(name not in self._channels for name in channels)
        return "" if self._channel_rate.take(client, new) else CHANNELS
