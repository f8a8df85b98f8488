"""What a long-poll cycle costs: a poll arrives, is held, is answered by a message, and the same client polls again.

All servers in the same run, as in `bench.held --peers`. A client
polls from the position of its last answer on: `since` here, `If-Modified-Since` and `If-None-Match` with Nchan.
"""

import signal
import sys

from bench.held import Plan, finish, measure_polls, parse_options, run
from bench.peers import peers


def main() -> int:
    """Measure long-poll cycles."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # an exit ends the servers, too
    plan, options = parse_options(sys.argv[1:], __doc__, Plan(pollers=2_000))
    rounds = run(plan, peers(), [measure_polls])
    title = f"{plan.pollers} pollers, {plan.cycles} cycles, median of {plan.rounds}"
    return finish("poll", title, plan, rounds, strict=options.strict)


if __name__ == "__main__":
    sys.exit(main())
