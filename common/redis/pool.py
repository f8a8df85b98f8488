"""The connections for commands: none is used again that may have been forgotten on its way, or that leads astray.

A firewall or NAT forgets connections that rest, and says so to neither end; after a failover an open connection stays
with the server that was the primary. So a connection that rested is replaced before it is used, each has an age, and
one that broke or that reached a server which cannot do the work takes all others along.
"""

import asyncio
import socket
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any, cast

from redis import RedisError
from redis.asyncio.connection import AbstractConnection, Connection, ConnectionPool
from redis.connection import HiredisRespSerializer
from redis.exceptions import AskError, BusyLoadingError, ClusterDownError, ReadOnlyError

from common.redis.addresses import open_socket

MAX_REST = 10.0  # seconds; the shortest time after which a firewall is known to forget a connection is longer
MAX_AGE = 300.0  # seconds
WRONG_SERVER = (ReadOnlyError, BusyLoadingError, ClusterDownError, AskError)  # and MASTERDOWN, MOVED


class PooledConnection(AbstractConnection):
    """A connection that knows its age, and packs commands with hiredis: redis-py does so for blocking clients only."""

    _packer = HiredisRespSerializer()
    on_wrong_server: Callable[[], None] = staticmethod(lambda: None)
    opened_at = rests_since = 0.0
    retired = in_use = False
    _socket: socket.socket
    _writer: asyncio.StreamWriter
    _parser: Any

    def pack_command(self, *args: Any) -> list[bytes]:
        """Return the bytes of one command."""
        return self._packer.pack(*args)  # type: ignore[no-any-return]

    async def read_response(self, *args: Any, **options: Any) -> Any:
        """Return a reply; tell of those that only a server gives to which the work must not go."""
        try:
            return await super().read_response(*args, **options)
        except WRONG_SERVER:
            self.on_wrong_server()
            raise

    async def send(self, commands: bytes) -> None:
        """Send packed commands on this connection, which is open."""
        self._writer.write(commands)
        await self._writer.drain()

    async def receive(self) -> Any:
        """Return the next reply of a pipeline, or the error that Redis answered; raises if the connection broke."""
        try:
            reply = await self._parser.read_response()
        except WRONG_SERVER:
            self.on_wrong_server()
            raise
        if isinstance(reply, WRONG_SERVER):
            self.on_wrong_server()
        return reply

    def is_worn(self, now: float) -> bool:
        """Say whether it must not be used again: it rested too long, is too old, or was retired."""
        return self.retired or now - self.rests_since > MAX_REST or now - self.opened_at > MAX_AGE

    async def _connect(self) -> None:
        async with asyncio.timeout(self.socket_connect_timeout):
            if isinstance(self, Connection):
                self._socket = await open_socket(self.host, self.port)
            await super()._connect()  # type: ignore[no-untyped-call,safe-super]  # of the class that this is mixed into
        self.opened_at = self.rests_since = monotonic()
        self.retired = False

    def _connection_arguments(self) -> Mapping[str, Any]:
        """Return the socket to use, and whose certificate it shall show."""
        where: dict[str, Any] = super()._connection_arguments()  # type: ignore[misc]
        host, _ = where.pop("host"), where.pop("port")
        return {**where, "sock": self._socket, "server_hostname": host if "ssl" in where else None}


class Pool(ConnectionPool):
    """The connections of one client; `on_suspect` is called when one broke, or was at a server that cannot serve."""

    def __init__(self, **options: Any) -> None:
        self.on_suspect: Callable[[], None] = lambda: None
        super().__init__(**options)

    def make_connection(self) -> PooledConnection:
        """Return a connection that is not open yet."""
        connection: PooledConnection = super().make_connection()  # type: ignore[no-untyped-call]
        connection.on_wrong_server = self._suspect_all
        return connection

    async def ensure_connection(self, connection: PooledConnection) -> None:  # type: ignore[override]
        """Have a connection open and fresh enough to be used."""
        connection.in_use = False
        if connection.is_connected and connection.is_worn(monotonic()):
            await connection.disconnect(nowait=True)
        if not connection.is_connected or await _is_readable(connection):
            await super().ensure_connection(connection)
        connection.in_use = True

    async def release(self, connection: PooledConnection) -> None:  # type: ignore[override]
        """Take a connection back; if it broke, and not only could not be opened, the others may be broken as well."""
        connection.rests_since = now = monotonic()
        if connection.is_connected and connection.is_worn(now):
            await connection.disconnect(nowait=True)
        elif not connection.is_connected and connection.in_use:
            self._suspect_all()
        if connection.is_connected:
            await super().release(connection)
        else:
            self._in_use_connections.remove(connection)  # it would be taken before those that are open

    def retire(self) -> None:
        """Let no connection that is open now be used for another command."""
        for connection in cast(list[PooledConnection], [*self._available_connections, *self._in_use_connections]):
            connection.retired = True

    async def sweep(self) -> None:
        """Close the connections that will not be used again."""
        now = monotonic()
        for connection in cast(list[PooledConnection], self._available_connections[:]):
            if connection.is_worn(now) and connection in self._available_connections:
                self._available_connections.remove(connection)
                await connection.disconnect(nowait=True)

    def _suspect_all(self) -> None:
        self.retire()
        self.on_suspect()


async def _is_readable(connection: PooledConnection) -> bool:
    """Say whether a connection that rests has something to read, which is its end or nothing that was asked for."""
    try:
        return await connection.can_read()
    except (RedisError, OSError):
        return True
