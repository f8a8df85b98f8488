"""What one server is measured for: streams on one channel, streams on a channel each, long-poll cycles."""

from dataclasses import dataclass

from bench.clients.load import Load
from bench.clients.publishing import CHANNEL, payload
from bench.report.plan import PlanWithPeers, option
from bench.report.statistics import Costs
from bench.servers.churn import stream_path
from bench.servers.server import Meter, Server

POLL_PATH = f"/poll?id={CHANNEL}"


@dataclass(frozen=True)
class Plan(PlanWithPeers):
    """How much of everything."""

    subscribers: int = 10_000
    messages: int = option(20, "one by one, and as many in a burst")
    payload_bytes: int = 104
    pollers: int = 1_000
    cycles: int = option(15, "of each poller")
    plain: bool = option(False, "plain PUBLISH instead of the publish script")
    live: bool = option(True, "an edge without history, and plain PUBLISH to it, as well")
    websocket: bool = option(True, "an edge by WebSocket as well")


def measure_streams(server: Server, plan: Plan) -> Costs:
    """Hold all subscribers on one channel and publish to them, one message at a time and in a burst."""
    with server.running_load() as load:
        memory, subscribe = open_streams(server, load, plan.subscribers, stream_path(server))
        delivery, burst = deliver(server, load, plan)
    return {"memory_one": memory, "subscribe": subscribe, "delivery": delivery, "burst": burst}


def measure_channels(server: Server, plan: Plan) -> Costs:
    """Hold every subscriber on a channel of its own."""
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


def poll_once(server: Server, load: Load, message: list[bytes]) -> int:
    """Let every connection poll, publish when the server holds them all; return the size of an answer's head."""
    load.poll(POLL_PATH)
    server.settle()
    server.publisher.publish(message)
    return load.wait_for_answers()
