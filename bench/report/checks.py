"""Bars, and what was measured held against them."""

from typing import NamedTuple


class Check(NamedTuple):
    """A bar, and what was measured: None if it never happened."""

    what: str
    value: float | None
    limit: float
    exact: bool = False  # the value must be the limit, not just keep to it

    @property
    def ok(self) -> bool:
        """Whether the bar holds."""
        if self.value is None:
            return False
        return self.value == self.limit if self.exact else self.value <= self.limit

    @property
    def line(self) -> str:
        """The bar and its verdict in words."""
        verb, value = "must be" if self.exact else "at most", "never" if self.value is None else _number(self.value)
        return f"{'ok    ' if self.ok else 'MISSED'}  {self.what}: {value}, {verb} {_number(self.limit)}"

    def as_json(self) -> dict[str, object]:
        """Return it for the file."""
        return {**self._asdict(), "ok": self.ok}


def at_most(what: str, value: float | None, limit: float) -> Check:
    """Check a number against its limit."""
    return Check(what, value, limit)


def equal(what: str, value: float, wanted: float) -> Check:
    """Check that a count is what it has to be."""
    return Check(what, value, wanted, exact=True)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,.4g}"
