"""A request to a publisher process has two limits, its messages and its bytes, and whichever is exceeded names both."""

import pytest

from tests.cluster.clients import Connection, exchange
from tests.cluster.processes import Cluster

pytestmark = pytest.mark.system

MOST = 1000
BYTES = 8 * 2**20  # of a body, with messages of at most 4096 bytes
BOTH = f"one request has at most {MOST} messages and {BYTES} bytes"


def bodies(channel: str, count: int) -> dict[str, object]:
    """Return a request with so many messages as an array, and as names."""
    return {
        "the array": [{"id": f"{channel}-{number}", "content": "x"} for number in range(count)],
        "ids": {"ids": [f"{channel}-{number}" for number in range(count)], "content": "x"},
    }


@pytest.mark.parametrize("name", ["the array", "ids"])
def test_a_message_too_many_is_refused(cluster: Cluster, channel: str, name: str) -> None:
    """A thousand are published; of one more, none."""
    with Connection(cluster.publisher.port) as backend:
        answer = backend.post("/pub", bodies(channel, MOST + 1)[name])
        assert (answer.status, answer.json["code"]) == (413, 413)
        assert answer.json["content"] == f"{name}: these are {MOST + 1} messages; {BOTH}"
        answer = backend.post("/pub", bodies(channel, MOST)[name])
    assert answer.status == 200
    assert [each["seq"].split("-")[0] for each in answer.json] == ["1"] * MOST


def test_a_byte_too_many_is_refused(cluster: Cluster) -> None:
    """Of the body as it is sent."""
    head = f"POST /pub HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {BYTES + 1}\r\n\r\n"
    answer, _ = exchange(cluster.publisher.port, head.encode() + b" " * (BYTES + 1), "POST")
    assert (answer.status, answer.json["code"]) == (413, 413)
    assert answer.json["content"] == f"the body is over {BYTES} bytes; {BOTH}"
