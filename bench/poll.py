"""What a long-poll cycle costs: a poll arrives, is held, is answered by a message, and the same client polls again.

All servers in the same run. A client polls from the position of its last answer on: `since` here, `If-Modified-Since`
and `If-None-Match` with Nchan. Each server answers with the headers it has of itself; as their bytes cost something,
those whose heads are shorter than ours run once more with heads that are as long: the C reference, and Nchan if so.
Where the edge is compiled, the pure build is measured, too.
"""

import sys
from dataclasses import dataclass
from functools import partial

from bench.clients.publishing import payload
from bench.held.measure import Plan, measure_polls, poll_once
from bench.held.rounds import finish, leave, run
from bench.report.console import end_on_signals
from bench.report.plan import read_plan
from bench.report.statistics import Costs
from bench.servers.builds import pure_beside
from bench.servers.edges import serving_edge
from bench.servers.nchan import nchan_module, serving_nchan
from bench.servers.peers import peers, serving_reference
from bench.servers.server import Server, Serving


@dataclass(frozen=True)
class PollPlan(Plan):
    """More pollers."""

    pollers: int = 2_000


def measure_with_head(server: Server, plan: Plan) -> Costs:
    """Return the cost of a cycle, and the bytes of an answer's head."""
    return measure_polls(server, plan) | {"head": head_size(server, plan)}


def head_size(server: Server, plan: Plan) -> int:
    """Return the bytes of an answer's head."""
    with server.running_load() as load:
        load.open_polls(1)
        return poll_once(server, load, [payload(plan.payload_bytes)])


def size_of(serving: Serving, plan: Plan) -> int:
    """Return the bytes of an answer's head of a server that is started for that."""
    with serving() as server:
        return head_size(server, plan)


def padded(plan: Plan) -> dict[str, Serving]:
    """Return the servers again whose heads are shorter than ours, with heads as long as ours."""
    ours = size_of(serving_edge, plan)
    servers: dict[str, Serving] = {"reference, our heads": partial(serving_reference, ours)}
    missing = ours - size_of(serving_nchan, plan) if plan.peers and nchan_module() else 0
    return servers | ({"nchan, our heads": partial(serving_nchan, missing)} if missing > 0 else {})


def main() -> int:
    """Measure long-poll cycles."""
    end_on_signals()
    plan = read_plan("poll", __doc__, PollPlan(), sys.argv[1:])
    servers: dict[str, Serving] = {"edge": serving_edge, "reference": serving_reference}
    servers |= (peers() if plan.peers else {}) | padded(plan)
    measurements = [partial(measure_with_head, plan=plan)]
    with pure_beside() as pure:
        rounds = run(plan.rounds, servers | pure, measurements)
    title = f"{plan.pollers} pollers, {plan.cycles} cycles, median of {plan.rounds}"
    return finish("poll", title, plan, rounds, leave(plan, serving_edge, measurements))


if __name__ == "__main__":
    sys.exit(main())
