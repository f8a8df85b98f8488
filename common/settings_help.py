"""What a setting accepts, in words: for the line that stops a process, and for the table of all settings. Pure."""

from typing import get_args

from pydantic.fields import FieldInfo

_SUFFIX_UNITS = {
    "url": "URL",
    "port": "port",
    "bytes": "bytes",
    "ttl": "seconds",
    "ms": "milliseconds",
    "size": "messages",
    "host": "address",
}
_TYPE_UNITS: dict[object, str] = {bool: "`1` or `0`", float: "seconds", int: "number", str: "text"}
_LIMIT_WORDS = {"gt": "more than", "ge": "from", "le": "to"}
_NUMBER_WORDS: dict[object, str] = {int: "a whole number", float: "a number"}


def allowed(name: str, field: FieldInfo) -> str:
    """Return what a setting accepts: its unit, and the limits that are checked."""
    choices = " or ".join(f"`{choice}`" for choice in get_args(field.annotation) if isinstance(choice, str))
    unit = (
        choices or _SUFFIX_UNITS.get(name.rpartition("_")[2]) or _TYPE_UNITS.get(field.annotation, "list with commas")
    )
    limits = [f"{text} {value}" for key, text in _LIMIT_WORDS.items() if (value := _limit(field, key)) is not None]
    return ", ".join([unit, " ".join(limits)]) if limits else unit


def advice(name: str, field: FieldInfo) -> str:
    """Return what to give instead of a wrong value."""
    number, words = _NUMBER_WORDS.get(field.annotation), allowed(name, field).replace("`", "").removeprefix("number, ")
    return f"give {number} ({words})" if number else f"give {words}"


def _limit(field: FieldInfo, key: str) -> object:
    """Return a field's limit of one kind, or None; pydantic keeps each in an object of its own."""
    return next((getattr(each, key) for each in field.metadata if hasattr(each, key)), None)
