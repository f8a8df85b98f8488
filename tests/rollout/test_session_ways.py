"""Sessions in headers and bodies while edges of the version before, which know them in paths only, still run."""

import json
import subprocess

import pytest

from tests.cluster.clients import Connection, StreamClient
from tests.cluster.processes import ROOT, Service
from tests.rollout.conftest import MixedCluster

pytestmark = pytest.mark.system  # with its clusters it takes many seconds

BEFORE = "14b00ee"  # the last commit whose edges take a session in a path only
CLIENT = ROOT / "publisher/static/comet.mjs"
TIMEOUT = 30  # seconds, for Node on a loaded machine
# Subscribes to a channel, then to another one on the same connection; tells the message of that, and the connections.
SCRIPT = """
const { Comet } = await import(process.argv[1]);
const [, , url, first, second] = process.argv;
const client = new Comet(url, { transports: ["stream"], share: false });
let opened = 0;
client.on("open", () => opened++);
client.subscribe(first, () => client.subscribe(second, ({ content }) => {
  console.log(JSON.stringify({ content, opened }));
  client.close();
}));
const timer = setInterval(() => {
  if (client.positions[first]) console.log("one");
  if (client.positions[second]) console.log("two");
  if (client.state.state === "closed") clearInterval(timer);
}, 50);
"""


def ways(session: str, ops: list[dict[str, str]]) -> list[tuple[object, dict[str, str]]]:
    """Return the bodies and headers by which a session is named outside a path."""
    return [(ops, {"Comet-Session": session}), ({"session": session, "ops": ops}, {})]


@pytest.mark.parametrize("way", [0, 1], ids=["header", "body"])
def test_a_session_of_an_older_edge_is_changed_through_a_newer_one(mixed: MixedCluster, channel: str, way: int) -> None:
    """The question to the other edge is as before."""
    with StreamClient(mixed.b.port, channel) as held, Connection(mixed.a.port) as newer:
        body, headers = ways(held.welcomes[0]["session"], [{"op": "sub", "id": f"{channel}-more"}])[way]
        answer = newer.post("/sub", body, **headers)
        assert (answer.status, answer.json["channels"]) == (200, [channel, f"{channel}-more"])
        assert held.next_object()["type"] == "welcome"


def test_an_older_edge_says_that_it_knows_no_such_request(mixed: MixedCluster, channel: str) -> None:
    """By a status that a page may read, and after which the browser client goes on with the path."""
    with StreamClient(mixed.a.port, channel) as held:
        for body, headers in ways(held.welcomes[0]["session"], [{"op": "ping"}]):
            with Connection(mixed.b.port) as older:
                answer = older.post("/sub", body, **headers)
            assert answer.status in {404, 405, 413}
            assert answer.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize("edge", ["a", "b"], ids=["newer", "older"])
def test_the_browser_client_changes_channels_at_edges_of_both_versions(
    mixed: MixedCluster, channel: str, edge: str
) -> None:
    """On the connection that it has."""
    told = subscribe_by_client(mixed, mixed.edge(edge), channel)
    assert told == {"content": "to the second", "opened": 1}


def subscribe_by_client(mixed: MixedCluster, edge: Service, channel: str) -> dict[str, object]:
    """Run the built client in Node; publish to its first channel, then to its second one; return what it tells."""
    command = ["node", "--input-type=module", "-e", SCRIPT, "--", str(CLIENT), edge.url, channel, f"{channel}-2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as node:
        assert node.stdout is not None
        steps = {"one": (channel, "to the first"), "two": (f"{channel}-2", "to the second")}
        for line in node.stdout:
            if line.strip() in steps:
                mixed.publish(*steps.pop(line.strip()))
            elif line.startswith("{"):
                node.wait(TIMEOUT)
                return json.loads(line)  # type: ignore[no-any-return]
    raise AssertionError("the client ended early")
