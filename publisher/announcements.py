"""What edges announce of themselves, checked before the dashboard shows it: any program may have written it. Pure."""

from collections.abc import Callable, Mapping
from typing import Any

MAX_COUNT = 10**15  # of what an edge has done in its life
MAX_TEXT = 255  # characters
MAX_ENTRIES = 32  # transports, or busiest channels
MAX_NAMED = 10  # announcements that cannot be read and are named

Check = Callable[[object], bool]


def count_of(value: object) -> int:
    """Return a count, or 0 for what is none."""
    return value if isinstance(value, int) and is_count(value) else 0


def is_count(value: object) -> bool:
    """Say whether a value is a number that something can be counted with."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= MAX_COUNT


def is_announcement(edge_id: str, about: object) -> bool:
    """Say whether an edge, of whatever version, can have announced this of itself."""
    if not isinstance(about, Mapping) or about.get("id") != edge_id:
        return False
    return all(check(about[name]) for name, check in FIELDS.items() if name in about)


def named(edge_ids: list[str]) -> list[str]:
    """Return some of the ids, each of a bounded length, to be shown."""
    return [edge_id[:MAX_TEXT] for edge_id in edge_ids[:MAX_NAMED]]


def _is_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= MAX_TEXT


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _are_connections(value: object) -> bool:
    return isinstance(value, Mapping) and len(value) <= MAX_ENTRIES and all(map(is_count, value.values()))


def _are_rates(value: object) -> bool:
    return isinstance(value, Mapping) and len(value) <= MAX_ENTRIES and all(map(is_count, value.values()))


def _are_busiest(value: object) -> bool:
    return isinstance(value, list) and len(value) <= MAX_ENTRIES and all(map(_is_busy_channel, value))


def _is_busy_channel(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and _is_text(value[0]) and is_count(value[1])


FIELDS: dict[str, Check] = {
    "id": _is_text,
    "host": _is_text,
    "version": _is_text,
    "build": _is_text,
    "uptime": is_count,
    "ready": _is_flag,
    "draining": _is_flag,
    "connections": _are_connections,
    "channels": is_count,
    "rates": _are_rates,
    "busiest": _are_busiest,
}
