import asyncio
import ssl
import time
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Connection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from common.errors import SettingsError
from common.redis.client import COMMAND_TIMEOUT, Endpoint, connect, endpoint


class SilentServer:
    """A server that accepts connections, counts them and never says anything."""

    def __init__(self, hang_up: bool) -> None:
        self.accepted = 0
        self._hang_up = hang_up
        self._writers: list[asyncio.StreamWriter] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take a connection."""
        self.accepted += 1
        self._writers.append(writer)
        await reader.read(1)
        if self._hang_up:
            writer.close()

    def close(self) -> None:
        """Drop all connections."""
        for writer in self._writers:
            writer.close()


@pytest.fixture(params=[False, True], ids=["silent", "hangs up"])
async def silent(request: pytest.FixtureRequest) -> AsyncIterator[tuple[SilentServer, int]]:
    """Yield a silent server and its port."""
    silent = SilentServer(hang_up=request.param)
    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    yield silent, server.sockets[0].getsockname()[1]
    server.close()
    silent.close()


@pytest.mark.parametrize(
    ("url", "expected", "shown"),
    [
        ("redis://", Endpoint("localhost", 6379, "", None, "", ""), "localhost:6379"),
        ("redis://h", Endpoint("h", 6379, "", None, "", ""), "h:6379"),
        ("redis://h:7/3", Endpoint("h", 7, "", None, "", ""), "h:7"),
        ("redis://:p@h", Endpoint("h", 6379, "", None, "", "p"), "h:6379"),
        ("redis://u:p%40%3A@h:7", Endpoint("h", 7, "", None, "u", "p@:"), "h:7"),
        ("redis://[::1]:7", Endpoint("::1", 7, "", None, "", ""), "::1:7"),
        ("unix:///run/r.sock", Endpoint("localhost", 6379, "/run/r.sock", None, "", ""), "/run/r.sock"),
        ("unix://u:p@/run/r.sock?db=1", Endpoint("localhost", 6379, "/run/r.sock", None, "u", "p"), "/run/r.sock"),
    ],
)
def test_an_endpoint_is_where_the_url_points(url: str, expected: Endpoint, shown: str) -> None:
    """Host, port, path and account are read from the URL, and its text never shows the password."""
    assert endpoint(url) == expected
    assert str(endpoint(url)) == shown


def test_only_rediss_means_tls() -> None:
    """The scheme decides, and the certificate of the other side is checked."""
    tls = endpoint("rediss://h").tls
    assert tls is not None
    assert tls.check_hostname
    assert endpoint("redis://h").tls is None


def test_the_subscribe_connection_follows_the_options_for_tls() -> None:
    """What redis-py does with them for commands holds for our own connection, too."""
    tls = endpoint("rediss://h?ssl_cert_reqs=none").tls
    assert tls is not None
    assert (tls.verify_mode, tls.check_hostname) == (ssl.CERT_NONE, False)
    tls = endpoint("rediss://h?ssl_check_hostname=false").tls
    assert tls is not None
    assert (tls.verify_mode, tls.check_hostname) == (ssl.CERT_REQUIRED, False)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("ssl_ca_certs=/no/ca.pem", "ssl_ca_certs must name a file that this process can read"),
        (f"ssl_certfile={__file__}", "ssl_certfile cannot be used: "),
        (f"ssl_ca_certs={__file__}", "ssl_ca_certs cannot be used: "),
        ("ssl_keyfile=/dev/null", "ssl_keyfile is of no use without ssl_certfile"),
    ],
)
def test_what_tls_cannot_use_is_a_sentence(options: str, sentence: str) -> None:
    """A file that is not there or holds something else stops the process, and the password is not in the line."""
    with pytest.raises(SettingsError) as caught:
        endpoint(f"rediss://user:secret@h?{options}")
    assert str(caught.value).startswith(f"COMET_REDIS_URL='rediss://***@h?{options}': {sentence}")
    assert len(str(caught.value).splitlines()) == 1


async def test_a_client_speaks_to_a_real_server(valkey_url: str, prefix: str) -> None:
    """Bytes go in and come out undecoded."""
    async with connect(valkey_url) as client:
        await client.set(prefix, b"\xff")
        assert await client.get(prefix) == b"\xff"


async def test_a_command_without_an_answer_fails_soon_and_is_not_tried_again(silent: tuple[SilentServer, int]) -> None:
    """ "Redis is down" is known within about a second, and nothing was sent twice."""
    server, port = silent
    start = time.monotonic()
    async with connect(f"redis://127.0.0.1:{port}") as client:
        with pytest.raises((RedisTimeoutError, RedisConnectionError)):
            await client.publish("room", "hi")
    assert time.monotonic() - start < COMMAND_TIMEOUT + 1
    assert server.accepted == 1


async def test_a_server_that_is_not_there_is_an_error_at_once(unused_port: int) -> None:
    """The client does not retry by itself."""
    start = time.monotonic()
    async with connect(f"redis://127.0.0.1:{unused_port}") as client:
        with pytest.raises(RedisConnectionError):
            await client.publish("room", "hi")
    assert time.monotonic() - start < 1


CONNECTIONS = {
    kind: connect(url).connection_pool.make_connection()  # which opens nothing yet
    for kind, url in {"TCP": "redis://h", "TLS": "rediss://h", "UNIX": "unix:///run/r.sock"}.items()
}


@pytest.mark.parametrize("connection", CONNECTIONS.values(), ids=CONNECTIONS.keys())
@given(st.lists(st.binary(max_size=20) | st.text(max_size=20) | st.integers() | st.floats(allow_nan=False), max_size=9))
def test_a_command_is_packed_as_redis_py_packs_it(
    connection: Connection, arguments: list[bytes | str | int | float]
) -> None:
    """Over every kind of connection a command has the same bytes as from redis-py itself, two-word names included."""
    for name in ("EVALSHA", "SCRIPT LOAD"):
        packed = connection.pack_command(name, *arguments)
        assert b"".join(packed) == b"".join(Connection().pack_command(name, *arguments))
