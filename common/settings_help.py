"""What a setting takes, in words: for the line that stops a process, and for the table of all settings."""

from typing import get_args

from pydantic.fields import FieldInfo

UNITS = {
    "url": "URL",
    "port": "port",
    "bytes": "bytes",
    "ttl": "seconds",
    "ms": "milliseconds",
    "size": "messages",
    "host": "address",
}
KINDS: dict[object, str] = {bool: "`1` or `0`", float: "seconds", int: "number", str: "text"}
LIMITS = {"gt": "more than", "ge": "from", "le": "to"}
NUMBERS: dict[object, str] = {int: "a whole number", float: "a number"}


def allowed(name: str, field: FieldInfo) -> str:
    """Say what a setting takes: its unit, and the limits that are checked."""
    choices = " or ".join(f"`{choice}`" for choice in get_args(field.annotation) if isinstance(choice, str))
    unit = choices or UNITS.get(name.rpartition("_")[2]) or KINDS.get(field.annotation, "list with commas")
    limits = [f"{text} {value}" for key, text in LIMITS.items() if (value := _limit(field, key)) is not None]
    return ", ".join([unit, " ".join(limits)]) if limits else unit


def advice(name: str, field: FieldInfo) -> str:
    """Say what somebody shall give who gave something else."""
    number, words = NUMBERS.get(field.annotation), allowed(name, field).replace("`", "").removeprefix("number, ")
    return f"give {number} ({words})" if number else f"give {words}"


def _limit(field: FieldInfo, key: str) -> object:
    """Return the limit of one kind, or None; pydantic keeps each in an object of its own."""
    return next((getattr(each, key) for each in field.metadata if hasattr(each, key)), None)
