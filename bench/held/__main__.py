"""What a held connection costs: one edge beside other servers, in the same run (`make bench`).

Each round starts every server fresh, one after the other, and puts the same load on them; only the server's own CPU
and memory are counted, never Redis, the load generator or this driver. A noisy machine disturbs all alike, so the
ratios, taken within a round, are what to compare; the medians of the rounds are shown. The servers are the edge, one
that keeps no history (`live`), one whose streams are WebSockets, a bare epoll loop in C, Nchan with its memory store
and with Redis, and aiohttp; where the edge is compiled, the pure build, too.
"""

import sys
from functools import partial

from bench.held.measure import Plan, measure_channels, measure_polls, measure_streams
from bench.held.rounds import finish, leave, run
from bench.report.console import end_on_signals
from bench.report.plan import read_plan
from bench.servers.builds import pure_beside
from bench.servers.edges import serving_edge, serving_websocket
from bench.servers.peers import peers, serving_reference
from bench.servers.server import Serving


def main() -> int:
    """Measure everything about held connections."""
    end_on_signals()
    plan = read_plan("held", __doc__, Plan(), sys.argv[1:])
    edge: Serving = partial(serving_edge, plain=plan.plain)
    servers: dict[str, Serving] = {"edge": edge, "reference": serving_reference}
    servers |= peers() if plan.peers else {}
    servers |= {"live": partial(serving_edge, plain=True, HISTORY_SIZE="0")} if plan.live else {}
    servers |= {"websocket": partial(serving_websocket, plain=plan.plain)} if plan.websocket else {}
    measurements = [partial(one, plan=plan) for one in (measure_streams, measure_channels, measure_polls)]
    with pure_beside(plain=plan.plain) as pure:
        measured = run(plan.rounds, servers | pure, measurements)
    title = f"{plan.subscribers} subscribers, {plan.pollers} pollers, median of {plan.rounds}"
    return finish("held", title, plan, measured, leave(plan, edge, measurements))


if __name__ == "__main__":
    sys.exit(main())
