"""How old a message is: placed by Redis' own clock, whatever this machine's says."""

import asyncio

import pytest
from redis import RedisError

from edge.cluster.redis_clock import RedisClock
from tests.edge.edge_without_redis import FakeClock

AHEAD = 1_795_377_080.0  # seconds that Redis' clock is ahead of ours, which is some monotonic one


class FakeRedisTime:
    """Tells its time; each answer takes `way` seconds, there and back in equal parts unless `skew` says otherwise."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock, self.ahead, self.way, self.skew = clock, AHEAD, 0.0, 0.0
        self.failing = False

    async def time(self) -> tuple[int, int]:
        """Answer TIME."""
        if self.failing:
            raise RedisError("away")
        self.clock.now += self.way / 2 + self.skew
        now = round((self.clock.now + self.ahead) * 1_000_000)
        self.clock.now += self.way / 2 - self.skew
        return now // 1_000_000, now % 1_000_000

    def tag(self) -> int:
        """Return the tag that a message would get now."""
        return round((self.clock.now + self.ahead) * 1_000_000)


@pytest.fixture
def redis() -> FakeRedisTime:
    """Return a Redis whose clock has nothing to do with ours."""
    return FakeRedisTime(FakeClock())


@pytest.fixture
def clock(redis: FakeRedisTime) -> RedisClock:
    """Return what is tested."""
    return RedisClock(redis.time, redis.clock)


def aged(clock: RedisClock, redis: FakeRedisTime, seconds: float) -> float | None:
    """Return the age of a message that was published some seconds ago."""
    return clock.age(redis.tag() - round(seconds * 1_000_000), redis.clock.now)


async def test_nothing_is_said_before_the_first_look(clock: RedisClock, redis: FakeRedisTime) -> None:
    """A latency that cannot be known is not counted."""
    assert aged(clock, redis, 1.0) is None


async def test_the_age_is_that_by_redis_own_clock(clock: RedisClock, redis: FakeRedisTime) -> None:
    """Our clock may be years away from Redis'."""
    await clock.look()
    assert aged(clock, redis, 0.25) == pytest.approx(0.25, abs=1e-5)


async def test_the_shortest_way_counts(clock: RedisClock, redis: FakeRedisTime) -> None:
    """An answer that was held up on its way back is off by half of it; a quicker one is believed instead."""
    redis.way, redis.skew = 0.2, -0.1
    await clock.look()
    assert aged(clock, redis, 1.0) == pytest.approx(0.9, abs=1e-4)
    redis.way, redis.skew = 0.001, 0.0
    await clock.look()
    redis.way, redis.skew = 0.2, 0.1
    await clock.look()
    assert aged(clock, redis, 1.0) == pytest.approx(1.0, abs=1e-3)


async def test_another_clock_is_noticed_at_the_next_look(clock: RedisClock, redis: FakeRedisTime) -> None:
    """After a failover to a server an hour behind, or after its clock was set, what was known is forgotten."""
    await clock.look()
    redis.ahead -= 3600
    redis.way = 0.01
    await clock.look()
    assert aged(clock, redis, 0.5) == pytest.approx(0.5, abs=0.01)


async def test_a_tag_from_the_future_is_no_negative_age(clock: RedisClock, redis: FakeRedisTime) -> None:
    """Tags never go back, so after a clock that was set back they are ahead of it for a while."""
    await clock.look()
    assert aged(clock, redis, -2.0) == 0.0


async def test_it_goes_on_looking_when_redis_is_away(clock: RedisClock, redis: FakeRedisTime) -> None:
    """An outage ends neither the task nor what is known."""
    await clock.look()
    redis.failing = True
    task = asyncio.create_task(clock.run())
    for _ in range(5):
        await asyncio.sleep(0)
    assert not task.done()
    assert aged(clock, redis, 1.0) == pytest.approx(1.0, abs=1e-5)
    task.cancel()
