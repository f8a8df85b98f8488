"""The texts of the scripts, as Redis is given them."""

import re
from importlib.resources import files
from typing import NamedTuple

LIBRARY = "comet"  # the name of our library of Redis Functions
_OWN_DEFAULTS = "{size = 100, ttl = 300}"  # in publish.lua
_DEPLOYMENTS = re.compile(r"(?<=local deployments = \{\n).*?(?=\n\})", re.DOTALL)
_DEPLOYMENT = re.compile(r"^  \[('.*')\] = \{limit = (\d+), size = (\d+), ttl = (\d+)\},$", re.MULTILINE)
_PLAIN = re.compile(rb"[A-Za-z0-9:_./-]")


class Deployment(NamedTuple):
    """What the Redis Function goes by for one prefix: the largest message in bytes, messages kept, seconds they are."""

    limit: int
    size: int
    ttl: int


def script_text(name: str, history_size: int = 100, history_ttl: int = 300) -> str:
    """Return the Lua text of a script (`publish`, `sync` or `adopt`), as our own processes run it.

    `history_size` and `history_ttl` (seconds) are what a publish uses if it is not told otherwise.
    """
    own = f"{{size = {history_size}, ttl = {history_ttl}}}"
    before = ("append",) if name == "publish" else ("append", "epochs")
    return "".join(map(_lua, before)) + _lua(name).replace(_OWN_DEFAULTS, own)


def eval_text() -> str:
    """Return what anybody may give to EVAL to publish, in a deployment with the usual settings."""
    return "".join(map(_lua, ("append", "guard", "refuse", "publish")))


def functions_text(deployments: dict[str, Deployment]) -> str:
    """Return the library of Redis Functions: `comet_publish`, for deployments by their prefix (see `lua_string`)."""
    lines = [
        f"  [{prefix}] = {{limit = {limit}, size = {size}, ttl = {ttl}}},"
        for prefix, (limit, size, ttl) in deployments.items()
    ]
    append = _lua("append").replace("local call = redis.call", "local call")  # there is none while a library is loaded
    guard = _DEPLOYMENTS.sub(lambda match: "\n".join(lines), _lua("guard"))
    publish = _lua("publish").replace(_OWN_DEFAULTS, "{size = deployment.size, ttl = deployment.ttl}")
    body = "call = redis.call\n" + _lua("refuse") + publish
    register = f"redis.register_function('comet_publish', function(KEYS, ARGV)\n{body}\nend)\n"
    return f"#!lua name={LIBRARY}\n{append}{guard}{register}"


def deployments_in(text: str) -> dict[str, Deployment]:
    """Return for which deployments a library was made: the inverse of `functions_text`."""
    return {prefix: Deployment(*map(int, numbers)) for prefix, *numbers in _DEPLOYMENT.findall(text)}


def lua_string(text: str) -> str:
    """Return a text as Lua writes it, on one line."""
    return "'" + "".join(chr(byte) if _PLAIN.match(bytes([byte])) else f"\\{byte:03d}" for byte in text.encode()) + "'"


def _lua(name: str) -> str:
    return files(__package__).joinpath(f"{name}.lua").read_text()
