"""What a publish with history costs Redis, beside a plain PUBLISH: python -m bench.redis_cost

All are sent in pipelines, to channels without subscribers. `command` is the time that Redis itself counts for the
command (INFO commandstats); `process` is the CPU time of the whole server, reading and answering included. The best of
some rounds counts: Redis counts wall time, so whatever else the machine does adds to it. `bare calls` is a script that
makes the same calls of Redis and nothing else: how fast the machine is.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import sha1

from redis.asyncio import Redis

from bench.report.checks import Check, at_most
from bench.report.console import end_on_signals
from bench.report.outcome import conclude
from bench.report.plan import Plan, option, read_plan
from bench.servers.valkey import running_valkey
from common.message import Message
from common.names import RedisNames
from common.redis.client import connect
from common.redis.pipelines import Pipelines
from common.scripts.calls import Scripts
from common.scripts.library import script_text
from common.scripts.publishing import Outgoing, Publishing
from common.settings import load_settings

PIPELINE = 500
CHANNELS = 100
MAX_PUBLISH_US = 15.0  # microseconds: the budget of a publish with history
MAX_OVER_BARE_CALLS = 1.4  # times these, on a machine that is too slow for that
PAYLOAD = b"x" * 100
COMMAND, PROCESS = "Redis' time for the command, µs", "CPU of the whole Redis process, µs"
SETTINGS = load_settings(history_size=100)
NAMES = RedisNames(SETTINGS.prefix)

Send = Callable[[Redis, str], Awaitable[object]]
Costs = dict[str, tuple[float, float]]  # microseconds: of the command, of the whole process


@dataclass(frozen=True)
class RedisPlan(Plan):
    """How much of everything."""

    rounds: int = option(3, "of which the best counts")
    messages: int = 50_000


BARE_CALLS = """
local top, log, now = '{' .. KEYS[1] .. '}:top', '{' .. KEYS[1] .. '}:log', redis.call('TIME')
local last = redis.call('HMGET', top, 'o', 't')
redis.call('HSET', top, 'o', (last[1] or 0) + 1, 't', now[1] .. now[2])
redis.call('XADD', log, 'MAXLEN', '~', 100, '*', 'p', now[1], 'd', ARGV[1])
redis.call('EXPIRE', log, 300)
return {now[1], redis.call('PUBLISH', KEYS[1], ARGV[1])}
"""
BARE_SHA = sha1(BARE_CALLS.encode(), usedforsecurity=False).hexdigest()  # what Redis calls a script


async def best(redis: Redis, plan: RedisPlan, command: str, send: Send) -> tuple[float, float]:
    """Return the lowest numbers of some rounds."""
    rounds = [await measure(redis, plan.messages, command, send) for _ in range(plan.rounds)]
    return min(command for command, _ in rounds), min(process for _, process in rounds)


async def measure(redis: Redis, messages: int, command: str, send: Send) -> tuple[float, float]:
    """Publish all messages; return microseconds for each: of the command, of the whole process."""
    await redis.config_resetstat()
    before = await cpu_seconds(redis)
    for start in range(0, messages, PIPELINE):
        pipeline = redis.pipeline(transaction=False)
        for number in range(start, start + PIPELINE):
            await send(pipeline, f"room{number % CHANNELS}")
        await pipeline.execute()
    spent = await cpu_seconds(redis) - before
    stats = (await redis.info("commandstats"))[f"cmdstat_{command}"]
    return float(stats["usec"]) / messages, spent / messages * 1e6


async def cpu_seconds(redis: Redis) -> float:
    """Return the CPU time that the server has used."""
    cpu = await redis.info("cpu")
    return float(cpu["used_cpu_user"]) + float(cpu["used_cpu_sys"])


def with_history(publishing: Publishing) -> Send:
    """Return what queues a publish through the script, as the publisher does it."""

    async def send(pipeline: Redis, channel: str) -> None:
        _, sha, keys, *words = publishing.command(Outgoing(channel, Message(PAYLOAD))).words
        pipeline.evalsha(sha, keys, *words)

    return send


async def by_function(pipeline: Redis, channel: str) -> None:
    """Queue a publish through the Redis Function, as a backend does it."""
    pipeline.fcall("comet_publish", 1, NAMES.channel(channel), PAYLOAD)


async def bare_calls(pipeline: Redis, channel: str) -> None:
    """Queue the script that only calls."""
    pipeline.evalsha(BARE_SHA, 1, NAMES.channel(f"bare-{channel}"), PAYLOAD)


async def plain(pipeline: Redis, channel: str) -> None:
    """Queue a plain PUBLISH."""
    pipeline.publish(NAMES.channel(channel), PAYLOAD)


async def run(url: str, plan: RedisPlan) -> Costs:
    """Measure all."""
    async with connect(url) as redis:
        await Scripts(redis, NAMES, SETTINGS).install_functions()
        await redis.script_load(BARE_CALLS)
        await redis.script_load(script_text("publish", SETTINGS.history_size, SETTINGS.history_ttl))
        publishing = Publishing(Pipelines(redis), NAMES, SETTINGS)
        return {
            "plain PUBLISH": await best(redis, plan, "publish", plain),
            "bare calls": await best(redis, plan, "evalsha", bare_calls),
            "publish with history": await best(redis, plan, "evalsha", with_history(publishing)),
            "FCALL comet_publish": await best(redis, plan, "fcall", by_function),
        }


def judge(costs: Costs) -> list[Check]:
    """Hold a publish with history, whichever way, against what it may cost on this machine."""
    limit = max(MAX_PUBLISH_US, MAX_OVER_BARE_CALLS * costs["bare calls"][0])
    return [
        at_most(f"{name}: {COMMAND}", costs[name][0], limit) for name in ("publish with history", "FCALL comet_publish")
    ]


def main() -> int:
    """Run it on a Valkey of its own, and print a table."""
    end_on_signals()
    plan = read_plan("redis_cost", __doc__, RedisPlan(), sys.argv[1:])
    with running_valkey() as url:
        costs = asyncio.run(run(url, plan))
    rows = {what: {name: cost[at] for name, cost in costs.items()} for at, what in enumerate((COMMAND, PROCESS))}
    title = f"{plan.messages} messages of {len(PAYLOAD)} bytes"
    return conclude("redis_cost", title, plan, rows, judge(costs))


if __name__ == "__main__":
    sys.exit(main())
