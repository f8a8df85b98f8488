"""What a test measured, for the log."""

from collections.abc import Callable

from tests.faults.trial import Summary

Record = Callable[[str, object], None]


def note(record: Record, summary: Summary | None = None, **numbers: float) -> None:
    """Record a trial's summary and some numbers; seconds are rounded to milliseconds."""
    for name, value in (summary._asdict() if summary else {}).items() | numbers.items():
        record(name, round(value, 3))
