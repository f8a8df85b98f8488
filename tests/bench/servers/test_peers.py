"""The other servers are spoken to in their own ways, and the receivers that note the time understand them all."""

import shutil
import time
from collections.abc import Iterator

import pytest

from bench.clients.latency import receiving
from bench.clients.publishing import payload, stamped
from bench.clients.ticker import Ticker
from bench.servers.nchan import nchan_module, serving_nchan, serving_nchan_redis
from bench.servers.peers import serving_aiohttp
from bench.servers.server import Meter, Server

CONNECTIONS = 50
NCHAN = [
    pytest.mark.system,
    pytest.mark.skipif(nchan_module() is None, reason="Nchan is not installed (Debian: libnginx-mod-nchan)"),
]

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler (`cc`) on this machine")


@pytest.fixture(
    params=[
        serving_aiohttp,
        pytest.param(serving_nchan, marks=NCHAN),
        pytest.param(serving_nchan_redis, marks=NCHAN),
    ]
)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """One of the servers, freshly started."""
    with request.param() as server:
        yield server


def test_every_stream_gets_every_message(server: Server) -> None:
    """One message at a time, and twenty at once; what that costs can be read."""
    with server.running_load() as load, Meter(server) as meter:
        load.open_streams(CONNECTIONS, "/sse?id=room")
        server.settle()
        server.publisher.publish([payload(104)])
        assert load.wait_for_messages(1) == CONNECTIONS
        server.publisher.publish([payload(104)] * 20)
        assert load.wait_for_messages(21) == 21 * CONNECTIONS
    assert meter.microseconds > 0
    assert server.pss_bytes() > 0


def test_every_poll_is_held_and_answered_again_and_again(server: Server) -> None:
    """The same connections poll again, from the position of their last answer."""
    with server.running_load() as load:
        load.open_polls(CONNECTIONS)
        for _ in range(3):
            load.poll("/poll?id=room")
            server.settle()
            server.publisher.publish([payload(104)])
            load.wait_for_answers()


def test_messages_tell_how_late_they_are(server: Server) -> None:
    """A message that was due a second ago is a second late, and those of a ticker are all counted."""
    with receiving(server.port) as receivers:
        receivers.open(CONNECTIONS, "room")
        server.settle()
        server.publisher.publish([stamped(104, time.monotonic_ns() - 1_000_000_000)])
        receivers.wait(CONNECTIONS)
        assert 1000 <= receivers.report().first < 10_000
        receivers.reset()
        ticker = Ticker(server.connect, "room", 0.01, size=104, burst=3)
        ticker.start()
        time.sleep(0.1)
        published = ticker.stop()
        receivers.wait(published * CONNECTIONS)
        assert receivers.report().messages == published * CONNECTIONS


def test_a_stuck_reader_is_seated_and_reads_nothing(server: Server) -> None:
    """It takes part in a channel without keeping the others from their messages."""
    with receiving(server.port) as receivers:
        receivers.open(1, "room")
        receivers.open_stuck(5, "room")
        server.settle()
        server.publisher.publish([stamped(1024)] * 100)
        receivers.wait(100)
        assert receivers.report().messages == 100
