"""Odd requests through each load balancer: no more than one answer to a request, and nothing is smuggled to an edge."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.cluster.clients import get
from tests.cluster.odd_requests import ANSWERED, HIDDEN, REFUSED, SMUGGLED, Exchange, say
from tests.cluster.processes import Cluster
from tests.lb.balancers import Balancer, Edge
from tests.lb.talking import ask

pytestmark = pytest.mark.system

SERIES = re.compile(r"^comet_(?:connections_opened|requests_refused)_total\{.*\} (.*)$", re.MULTILINE)
ANSWER = re.compile(rb"HTTP/1\.[01] ([2-5]\d\d) ")  # not a 100, which is no answer
FAILURES = {b"500", b"502", b"503", b"504"}
PATIENCE = 2.0  # seconds for the first byte: a balancer may wait for the rest of what it reads otherwise
AT_A_TIME = 8
TWO = {"two requests", "a second request behind LF"}  # all three end a line with LF, too: they see two requests


def test_each_odd_request_has_one_answer_at_most(balancer: Balancer, edges: Cluster) -> None:
    """Whatever balancer and edge make of it, they make the same of it."""
    cases = {name: data for name, (data, _) in REFUSED.items()} | {name: data for name, (data, *_) in ANSWERED.items()}
    cases |= {name: cases[name].replace(SMUGGLED.encode(), b"seen") for name in TWO}
    before = served(edges)

    def try_it(data: bytes) -> Exchange:
        return say(balancer.port, data, patience=PATIENCE)

    with ThreadPoolExecutor(AT_A_TIME) as pool:
        exchanges = dict(zip(cases, pool.map(try_it, cases.values()), strict=True))
    answers = {name: ANSWER.findall(exchange.received) for name, exchange in exchanges.items()}
    assert {name: found for name, found in answers.items() if len(found) > 1 + (name in TWO)} == {}
    assert {name: found for name, found in answers.items() if FAILURES.intersection(found)} == {}
    assert served(edges) - before <= sum(map(len, answers.values()))
    assert get(edges.publisher.port, "/info", id=SMUGGLED).json["subscribers"] == 0


def test_what_would_be_smuggled_would_be_noticed(balancer: Balancer, edges: Cluster) -> None:
    """The test above is worth something: the hidden request, sent openly, is seen in both ways."""
    before = served(edges)
    assert say(balancer.port, HIDDEN.replace(SMUGGLED.encode(), b"shown")).statuses == (200,)
    assert served(edges) == before + 1
    assert get(edges.publisher.port, "/info", id="shown").json["subscribers"] > 0


def served(edges: Cluster) -> int:
    """Return how many requests the edges have answered."""
    texts = [ask(edge.host, edge.admin_port, "/metrics").text for edge in edges.edges if isinstance(edge, Edge)]
    return sum(int(float(value)) for text in texts for value in SERIES.findall(text))


@pytest.mark.parametrize("name", ["a whole URL", "HTTP/1.0 without Host", "an upgrade to HTTP/2"])
def test_what_rfc_9112_wants_served_is_served(balancer: Balancer, name: str) -> None:
    """A balancer takes nothing away that an edge would answer."""
    assert say(balancer.port, ANSWERED[name][0], patience=PATIENCE).statuses[-1] == 200
