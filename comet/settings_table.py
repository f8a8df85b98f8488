"""The table of all settings, made from the settings themselves: `comet config docs` prints it."""

from typing import get_args

from pydantic.fields import FieldInfo

from common.settings import PREFIX, Settings

HEAD = "| setting | default | value | meaning |\n|---|---|---|---|\n"
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


def settings_table() -> str:
    """Return a Markdown table with one row for each setting."""
    return HEAD + "".join(_row(name, field) for name, field in Settings.model_fields.items())


def _row(name: str, field: FieldInfo) -> str:
    return f"| `{PREFIX}{name.upper()}` | {_default(field)} | {_value(name, field)} | {field.description} |\n"


def _default(field: FieldInfo) -> str:
    default = int(field.default) if isinstance(field.default, bool) else field.default
    if isinstance(default, tuple):
        default = ",".join(default)
        return f"`{default}`" if default else "empty"
    return f"`{default}`"


def _value(name: str, field: FieldInfo) -> str:
    """Say what a setting takes: its unit, and the limits that are checked."""
    choices = " or ".join(f"`{choice}`" for choice in get_args(field.annotation) if isinstance(choice, str))
    unit = choices or UNITS.get(name.rpartition("_")[2]) or KINDS.get(field.annotation, "list with commas")
    limits = [f"{text} {value}" for key, text in LIMITS.items() if (value := _limit(field, key)) is not None]
    return ", ".join([unit, " ".join(limits)]) if limits else unit


def _limit(field: FieldInfo, key: str) -> object:
    """Return the limit of one kind, or None; pydantic keeps each in an object of its own."""
    return next((getattr(each, key) for each in field.metadata if hasattr(each, key)), None)
