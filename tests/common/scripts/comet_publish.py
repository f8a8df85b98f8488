"""`comet_publish` as backends call it, on a real Valkey: by FCALL, and by the text for EVAL."""

from collections.abc import Sequence
from importlib.resources import files

import pytest
from redis import Redis, ResponseError

from common.names import RedisNames
from common.redis.client import connect
from common.scripts.calls import Scripts
from common.settings import load_settings

PREFIX = "fn:"
LIMIT = 1000  # bytes of a message
EVAL_FILES = ("append", "guard", "refuse", "publish")  # which docs/publishing.md puts together for EVAL
NAMES = RedisNames(PREFIX)
Value = str | bytes | int


async def install(url: str, prefix: str, in_use: Sequence[str] = (), **values: object) -> None:
    """Do what a publisher does when it connects; `in_use` are the prefixes that it knows."""
    async with connect(url) as client:
        await Scripts(client, RedisNames(prefix), load_settings(**values)).install_functions(in_use)


class ByFunction:
    """Calls the Redis Function."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis

    def __call__(self, keys: list[Value], *arguments: Value) -> list[object]:
        """Publish."""
        return self.redis.fcall("comet_publish", len(keys), *keys, *arguments)  # type: ignore[no-any-return, no-untyped-call]


class ByText(ByFunction):
    """Runs the text, changed as the docs say for another prefix and limit."""

    text = "".join(files("common.scripts").joinpath(f"{name}.lua").read_text() for name in EVAL_FILES).replace(
        "['comet:'] = {limit = 65536}", f"['{PREFIX}'] = {{limit = {LIMIT}}}"
    )

    def __call__(self, keys: list[Value], *arguments: Value) -> list[object]:
        """Publish."""
        return self.redis.eval(self.text, len(keys), *keys, *arguments)  # type: ignore[no-any-return]


def everything(redis: Redis) -> dict[bytes, bytes | None]:
    """Return all that Redis holds."""
    return {key: redis.dump(key) for key in redis.keys("*")}  # type: ignore[union-attr, misc]


def check_refused(call: ByFunction, keys: list[Value], *arguments: Value, about: str = "") -> None:
    """See a call refused with a sentence of ours, and nothing changed by it."""
    before = everything(call.redis)
    with pytest.raises(ResponseError) as caught:
        call(keys, *arguments)
    assert str(caught.value).startswith(f"comet_publish: {about}"), caught.value  # redis-py takes `ERR ` away
    assert everything(call.redis) == before
