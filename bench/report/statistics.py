"""Percentiles of times, and the medians and ratios of costs that were measured in rounds."""

from collections.abc import Iterable, Sequence
from math import ceil
from statistics import median

Costs = dict[str, float]
Round = dict[str, Costs]  # what each server's costs were in one round


def percentile(times: Sequence[float], share: float) -> float:
    """Return what a share of the sorted times is not above; 0 of none."""
    return times[max(ceil(share * len(times)) - 1, 0)] if times else 0.0


def spread(times: Sequence[float]) -> dict[str, float]:
    """Return the percentiles of sorted times."""
    return {"p50": percentile(times, 0.5), "p99": percentile(times, 0.99), "max": percentile(times, 1)}


def medians(rounds: Sequence[Round]) -> Round:
    """Return the median of each cost of each server."""
    return {
        server: {key: median(one[server][key] for one in rounds) for key in rounds[0][server]} for server in rounds[0]
    }


def ratios(rounds: Iterable[Round], key: str, over: str, of: str = "edge") -> list[float]:
    """Return what a cost of one server was in each round, as a multiple of another's, sorted."""
    return sorted(one[of][key] / (one[over][key] or 1) for one in rounds)


def median_and_range(values: Sequence[float]) -> str:
    """Return the median of sorted ratios, with the lowest and the highest."""
    return f"{median(values):.2f} ({values[0]:.2f}-{values[-1]:.2f})"
