"""The text that `comet dev` prints."""

from comet.dev_help import instructions
from comet.ports import Ports


def test_the_instructions_name_every_transport() -> None:
    """What is printed shows a line to copy for each way to subscribe, and ends with `ready`."""
    text = instructions(Ports(8080, 8090, 8081), 6379)

    assert text.endswith("\nready")
    for line in ("curl -N 'localhost:8080/sub?id=1'", "Accept: text/event-stream", "transport=poll", "callback="):
        assert line in text
