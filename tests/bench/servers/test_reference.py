"""The two C programs of the benchmark: they compile without a warning, and they talk to each other."""

import shutil
from collections.abc import Iterator

import pytest

from bench.clients.load import Load, running_load
from bench.clients.publishing import ReferencePublisher, payload, publishing_to_reference
from bench.servers.peers import running_reference
from bench.system.accounting import cpu_ns, pss_bytes, settle
from bench.system.programs import compile_c

CONNECTIONS = 50

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler (`cc`) on this machine")


@pytest.fixture
def reference() -> Iterator[tuple[int, int]]:
    """The reference, freshly started: its pid and its port."""
    with running_reference(compile_c("reference")) as (pid, port):
        yield pid, port


@pytest.fixture
def publisher(reference: tuple[int, int]) -> Iterator[ReferencePublisher]:
    """A publisher to it."""
    with publishing_to_reference(reference[1]) as publisher:
        yield publisher


@pytest.fixture
def load(reference: tuple[int, int]) -> Iterator[Load]:
    """The load generator, pointed at it."""
    with running_load(compile_c("load"), reference[1], seconds=10) as load:
        yield load


def test_every_stream_gets_every_message(publisher: ReferencePublisher, load: Load) -> None:
    """One message at a time, and twenty at once."""
    load.open_streams(CONNECTIONS, "/sse?id=room#")
    publisher.publish([payload(104)])
    assert load.wait_for_messages(1) == CONNECTIONS
    publisher.publish([payload(104)] * 20)
    assert load.wait_for_messages(21) == 21 * CONNECTIONS


def test_every_poll_is_held_and_answered_again_and_again(
    reference: tuple[int, int], publisher: ReferencePublisher, load: Load
) -> None:
    """The same connections poll again, from the position of their last answer."""
    load.open_polls(CONNECTIONS)
    for _ in range(3):
        load.poll("/poll?id=room")
        settle(reference[0])
        publisher.publish([payload(104)])
        load.wait_for_answers()


def test_the_load_generator_says_what_went_wrong(load: Load) -> None:
    """A wrong answer must not look like a slow one."""
    with pytest.raises(RuntimeError, match=r"expected a 200, got: .* 404"):
        load.open_streams(1, "/nowhere")


def test_a_message_that_never_comes_ends_the_wait(reference: tuple[int, int]) -> None:
    """Every command has a deadline."""
    with running_load(compile_c("load"), reference[1], seconds=1) as load:
        load.open_streams(1, "/sse?id=room")
        with pytest.raises(RuntimeError, match="took too long"):
            load.wait_for_messages(1)


def test_cpu_and_memory_of_a_server_can_be_read(reference: tuple[int, int], load: Load) -> None:
    """Work shows in the CPU time, and there is some memory."""
    before = cpu_ns(reference[0])
    load.open_streams(CONNECTIONS, "/sse?id=room")
    settle(reference[0])
    assert cpu_ns(reference[0]) > before
    assert pss_bytes(reference[0]) > 0
