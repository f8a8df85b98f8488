"""The texts of the scripts, as they are sent to Redis.

A user gives some of the `.lua` files to EVAL as they are (docs/publishing.md). A line that must differ in a publisher's
script, or in the library of Redis Functions, ends with a marker, `-- @name`, and is replaced as a whole.
"""

import re
from collections.abc import Iterable
from importlib.resources import files
from typing import NamedTuple

LIBRARY = "comet"  # the name of the library of Redis Functions
# One line of the library for each deployment. Publishers of every version write and read these lines, since versions
# run side by side on one Redis during a roll-out: their form must never change.
_DEPLOYMENT = re.compile(r"^  \[('.*')\] = \{limit = (\d+), size = (\d+), ttl = (\d+)\},$", re.MULTILINE)
_PLAIN = re.compile(rb"[A-Za-z0-9:_./-]")


class Deployment(NamedTuple):
    """The limits of one prefix in the Redis Function: bytes of a message, messages kept, seconds they are kept."""

    limit: int
    size: int
    ttl: int


def script_text(name: str, history_size: int = 100, history_ttl: int = 300) -> str:
    """Return the Lua text of a script, as edges and publishers run it.

    It is `publish`, `sync`, `read`, `release`, `adopt` or `deployments`. `history_size` (messages) and `history_ttl`
    (seconds) are the defaults of a publish.
    """
    if name == "publish":
        return _lua("append") + _adapted("publish", defaults=_defaults(history_size, history_ttl))
    if name in {"deployments", "read", "release"}:
        return _lua(name)
    return _lua("append") + _lua("epochs") + _lua(name)


def functions_text(deployments: dict[str, Deployment], in_use: Iterable[str] = ()) -> str:
    """Return the library of Redis Functions: `comet_publish`, for deployments by their prefix (see `lua_string`).

    `in_use` are the prefixes of all deployments, also of those that have no publisher to install the function.
    """
    append = _adapted("append", call="local call")  # `redis.call` exists only while a function runs
    guard = _adapted(
        "guard",
        deployments="\n".join(map(_deployment_line, deployments.items())),
        in_use="\n".join(f"  {prefix}," for prefix in sorted(in_use)),
    )
    publish = _adapted("publish", defaults=_defaults("deployment.size", "deployment.ttl"))
    body = "call = redis.call\n" + _lua("refuse") + publish
    register = f"redis.register_function('comet_publish', function(KEYS, ARGV)\n{body}\nend)\n"
    return f"#!lua name={LIBRARY}\n{append}{guard}{register}"


def deployments_in(text: str) -> dict[str, Deployment]:
    """Return the deployments that a library was made for, of this version or another: the inverse of the above."""
    return {prefix: Deployment(*map(int, numbers)) for prefix, *numbers in _DEPLOYMENT.findall(text)}


def lua_string(text: str) -> str:
    """Return a text as a Lua string on one line."""
    return "'" + "".join(chr(byte) if _PLAIN.match(bytes([byte])) else f"\\{byte:03d}" for byte in text.encode()) + "'"


def _deployment_line(item: tuple[str, Deployment]) -> str:
    prefix, (limit, size, ttl) = item
    return f"  [{prefix}] = {{limit = {limit}, size = {size}, ttl = {ttl}}},"


def _defaults(size: object, ttl: object) -> str:
    return f"local option = {{size = {size}, ttl = {ttl}}}"


def _adapted(name: str, **replacements: str) -> str:
    """Return the text of a file with a replacement for each line that ends with that marker."""
    lines = _lua(name).split("\n")
    for marker, replacement in replacements.items():
        (number,) = (number for number, line in enumerate(lines) if line.endswith(f"-- @{marker}"))
        lines[number] = replacement
    return "\n".join(lines)


def _lua(name: str) -> str:
    return files(__package__).joinpath(f"{name}.lua").read_text()
