"""The table of all settings, made from the settings themselves: `comet config docs` prints it."""

from pydantic.fields import FieldInfo

from common.settings import PREFIX, Settings
from common.settings_help import allowed

HEAD = "| setting | default | value | meaning |\n|---|---|---|---|\n"


def settings_table() -> str:
    """Return a Markdown table with one row for each setting."""
    return HEAD + "".join(_row(name, field) for name, field in Settings.model_fields.items())


def _row(name: str, field: FieldInfo) -> str:
    return f"| `{PREFIX}{name.upper()}` | {_default(field)} | {allowed(name, field)} | {field.description} |\n"


def _default(field: FieldInfo) -> str:
    default = int(field.default) if isinstance(field.default, bool) else field.default
    if isinstance(default, tuple):
        default = ",".join(default)
        return f"`{default}`" if default else "empty"
    return f"`{default}`"
