"""What a held connection costs: one edge beside a bare C epoll loop, in the same run (`make bench`).

Each round starts every server fresh, one after the other, and puts the same load on them; only the server's own CPU
and memory are counted, never Redis, the load generator or this driver. A noisy machine disturbs all alike, so the
ratios, taken within a round, are what to compare; the medians of the rounds are shown. `--peers` adds Nchan with its
memory store and with Redis, and a plain aiohttp server; `--websocket` adds an edge whose streams are WebSockets.
"""

import argparse
import signal
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace

from bench.load import Load
from bench.peers import Meter, Server, Serving, peers, serving_edge, serving_reference, serving_websocket
from bench.publishing import CHANNEL, payload
from bench.report import BARS, Costs, Round, chart, judge, medians, show
from bench.results_file import save

STREAM_PATH = f"/sse?id={CHANNEL}"
WEBSOCKET_PATH = f"/ws?id={CHANNEL}"
POLL_PATH = f"/poll?id={CHANNEL}"


@dataclass(frozen=True)
class Plan:
    """How much of everything."""

    subscribers: int = 10_000
    messages: int = 20
    payload_bytes: int = 104
    pollers: int = 1_000
    cycles: int = 15
    rounds: int = 5
    plain: bool = False


Measurement = Callable[[Server, Plan], Costs]


def stream_path(server: Server) -> str:
    """Return where a server's streams are."""
    return WEBSOCKET_PATH if server.by_websocket else STREAM_PATH


def warm_up(server: Server) -> None:
    """Let a server do everything once, so that what it loads or allocates only once is not counted."""
    with server.running_load() as load:
        load.open_streams(1, stream_path(server))
        server.settle()
        server.publisher.publish([payload(10)])
        load.wait_for_messages(1)
    server.settle()


def measure_streams(server: Server, plan: Plan) -> Costs:
    """Hold all subscribers on one channel and publish to them, one message at a time and in a burst."""
    warm_up(server)
    with server.running_load() as load:
        memory, subscribe = open_streams(server, load, plan.subscribers, stream_path(server))
        delivery, burst = deliver(server, load, plan)
    return {"memory_one": memory, "subscribe": subscribe, "delivery": delivery, "burst": burst}


def measure_channels(server: Server, plan: Plan) -> Costs:
    """Hold every subscriber on a channel of its own."""
    warm_up(server)
    with server.running_load() as load:
        memory, subscribe = open_streams(server, load, plan.subscribers, stream_path(server) + "#")
    return {"memory_each": memory, "subscribe_each": subscribe}


def open_streams(server: Server, load: Load, count: int, path: str) -> tuple[float, float]:
    """Return the memory in bytes and the CPU in microseconds that each new stream costs the server."""
    before = server.pss_bytes()
    with Meter(server) as subscribing:
        load.open_streams(count, path)
    return (server.pss_bytes() - before) / count, subscribing.microseconds / count


def deliver(server: Server, load: Load, plan: Plan) -> tuple[float, float]:
    """Return the CPU in microseconds of a delivery when messages come one at a time, and when they come at once."""
    message, deliveries = payload(plan.payload_bytes), plan.subscribers * plan.messages
    with Meter(server) as singles:
        for number in range(1, plan.messages + 1):
            server.publisher.publish([message])
            load.wait_for_messages(number)
    with Meter(server) as burst:
        server.publisher.publish([message] * plan.messages)
        received = load.wait_for_messages(2 * plan.messages)
    if received != 2 * deliveries:
        raise RuntimeError(f"{received} messages arrived instead of {2 * deliveries}")
    return singles.microseconds / deliveries, burst.microseconds / deliveries


def measure_polls(server: Server, plan: Plan) -> Costs:
    """Let kept-alive connections poll, be held, and be answered by a message, again and again."""
    if server.by_websocket:
        return {}
    message = [payload(plan.payload_bytes)]
    with server.running_load() as load:
        load.open_polls(plan.pollers)
        poll_once(server, load, message)
        with Meter(server) as polling:
            for _ in range(plan.cycles):
                poll_once(server, load, message)
    return {"poll": polling.microseconds / (plan.pollers * plan.cycles)}


def poll_once(server: Server, load: Load, message: list[bytes]) -> None:
    """Let every connection poll, and publish when the server holds them all."""
    load.poll(POLL_PATH)
    server.settle()
    server.publisher.publish(message)
    load.wait_for_answers()


def measure(serving: Serving, plan: Plan, measurements: Iterable[Measurement]) -> Costs:
    """Return all costs of one server, started fresh for each kind of load."""
    costs: Costs = {}
    for measurement in measurements:
        with serving() as server:
            costs |= measurement(server, plan)
    return costs


def run(plan: Plan, others: dict[str, Serving], measurements: Iterable[Measurement]) -> list[Round]:
    """Measure all servers in every round, in turn from the first to the last and back."""
    servers: dict[str, Serving] = {"edge": lambda: serving_edge(plain=plan.plain), "reference": serving_reference}
    order, rounds = list((servers | others).items()), []
    names = [name for name, _ in order]
    for number in range(1, plan.rounds + 1):
        costs: Round = {}
        for name, serving in order:
            print(f"round {number} of {plan.rounds}: {name} …", file=sys.stderr, flush=True)
            costs[name] = measure(serving, plan, measurements)
        rounds.append({name: costs[name] for name in names})
        order.reverse()
    return rounds


def parse_options(words: list[str], purpose: str | None, default: Plan) -> tuple[Plan, argparse.Namespace]:
    """Read the command line: the plan, and what else was asked for."""
    parser = argparse.ArgumentParser(description=purpose, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("subscribers", "messages", "payload_bytes", "pollers", "cycles", "rounds"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=getattr(default, name), metavar="N")
    parser.add_argument("--plain", action="store_true", help="plain PUBLISH instead of the publish script")
    parser.add_argument("--peers", action="store_true", help="Nchan and aiohttp as well")
    parser.add_argument("--websocket", action="store_true", help="an edge by WebSocket as well")
    parser.add_argument("--quick", action="store_true", help="500 subscribers, one round: does it run at all?")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if a bar is missed")
    options = parser.parse_args(words)
    plan = Plan(**{name: getattr(options, name) for name in asdict(default)})
    return (replace(plan, subscribers=500, pollers=50, rounds=1) if options.quick else plan), options


def finish(name: str, title: str, plan: Plan, rounds: list[Round], *, strict: bool) -> int:
    """Print, keep the numbers, and return the exit code: 1 if a bar is missed and that matters."""
    verdicts = judge(BARS, rounds)
    show(title, rounds, verdicts)
    bars = [verdict._asdict() for verdict in verdicts]
    save(name, title, chart(rounds), plan=asdict(plan), medians=medians(rounds), bars=bars, rounds=rounds)
    return 1 if strict and not all(verdict.ok for verdict in verdicts) else 0


def main() -> int:
    """Measure everything about held connections."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # an exit ends the servers, too
    plan, options = parse_options(sys.argv[1:], __doc__, Plan())
    others: dict[str, Serving] = peers() if options.peers else {}
    if options.websocket:
        others["websocket"] = lambda: serving_websocket(plain=plan.plain)
    rounds = run(plan, others, (measure_streams, measure_channels, measure_polls))
    title = f"{plan.subscribers} SSE subscribers, {plan.pollers} pollers, median of {plan.rounds}"
    return finish("held", title, plan, rounds, strict=options.strict)


if __name__ == "__main__":
    sys.exit(main())
