"""What a publish with history costs Redis, beside a plain PUBLISH: python -m bench.redis_cost

Both are sent in pipelines and nobody is subscribed. `command` is the time that Redis itself counts for the command
(INFO commandstats); `process` is the CPU time of the whole server, reading and answering included. The best of some
rounds counts: Redis counts wall time, so whatever else the machine does adds to it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from redis.asyncio import Redis

from bench.processes import running_valkey
from common.channels import Names
from common.message import Message
from common.redis import connect
from common.scripts import Scripts
from common.settings import load_settings

MESSAGES = 50_000
PIPELINE = 500
CHANNELS = 100
ROUNDS = 3
LIMIT = 15.0  # microseconds: the budget of a publish with history
PAYLOAD = b"x" * 100
SETTINGS = load_settings(history_size=100)
NAMES = Names(SETTINGS.prefix)

Send = Callable[[Redis, str], Awaitable[object]]


async def best(redis: Redis, command: str, send: Send) -> tuple[float, float]:
    """Return the lowest numbers of some rounds."""
    rounds = [await measure(redis, command, send) for _ in range(ROUNDS)]
    return min(command for command, _ in rounds), min(process for _, process in rounds)


async def measure(redis: Redis, command: str, send: Send) -> tuple[float, float]:
    """Publish all messages; return microseconds for each: of the command, of the whole process."""
    await redis.config_resetstat()
    before = await cpu_seconds(redis)
    for start in range(0, MESSAGES, PIPELINE):
        pipeline = redis.pipeline(transaction=False)
        for number in range(start, start + PIPELINE):
            await send(pipeline, f"room{number % CHANNELS}")
        await pipeline.execute()
    spent = await cpu_seconds(redis) - before
    stats = (await redis.info("commandstats"))[f"cmdstat_{command}"]
    return float(stats["usec"]) / MESSAGES, spent / MESSAGES * 1e6


async def cpu_seconds(redis: Redis) -> float:
    """Return the CPU time that the server has used."""
    cpu = await redis.info("cpu")
    return float(cpu["used_cpu_user"]) + float(cpu["used_cpu_sys"])


async def with_history(pipeline: Redis, channel: str) -> None:
    """Queue a publish through the script, as the publisher does it."""
    with suppress(TypeError):  # a pipeline queues the call and answers later, so what is unpacked is no answer yet
        await Scripts(pipeline, NAMES, SETTINGS).publish(channel, Message(PAYLOAD))


async def plain(pipeline: Redis, channel: str) -> None:
    """Queue a plain PUBLISH."""
    pipeline.publish(NAMES.channel(channel), PAYLOAD)


async def run(url: str) -> bool:
    """Measure both, print a table, and say whether the budget is kept."""
    redis = connect(url)
    try:
        costs = {"plain PUBLISH": await best(redis, "publish", plain)}
        costs["publish with history"] = await best(redis, "evalsha", with_history)
    finally:
        await redis.aclose()
    print(f"{MESSAGES} messages of {len(PAYLOAD)} bytes, microseconds of Redis each")
    for name, (command, process) in costs.items():
        print(f"{name:22} command {command:6.2f}   process {process:6.2f}")
    return costs["publish with history"][0] <= LIMIT


def main() -> int:
    """Run it on a Valkey of its own."""
    with running_valkey() as url:
        return 0 if asyncio.run(run(url)) else 1


if __name__ == "__main__":
    raise SystemExit(main())
