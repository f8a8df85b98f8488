"""The series that a process exports to Prometheus, each with what the metrics page says of it, and their histograms.

The series of every process are here; those of edges or publishers only are in their own modules.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

#: Upper bounds in seconds of every histogram; the same for all, so that one can be compared with another.
BOUNDS = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class Histogram:
    """Durations counted by their length; `observe` costs a quarter of a microsecond, since every fan-out calls it."""

    __slots__ = ("_counts", "_sum")

    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        """Count one duration."""
        self._counts[bisect_left(BOUNDS, seconds)] += 1
        self._sum += seconds

    @property
    def count(self) -> int:
        """The number of durations counted."""
        return sum(self._counts)

    def series(self, name: str, text: str) -> HistogramMetricFamily:
        """Return the cumulative counts as Prometheus expects them: for each bound, the durations up to it."""
        buckets, total = [], 0
        for bound, count in zip((*map(str, BOUNDS), "+Inf"), self._counts, strict=True):
            total += count
            buckets.append((bound, float(total)))
        return HistogramMetricFamily(name, text, buckets=buckets, sum_value=self._sum)


class Series(NamedTuple):
    """One metric as Prometheus shows it: `meaning` is its HELP text, `worry` says when an operator should look."""

    name: str
    kind: Literal["gauge", "counter", "histogram"]
    meaning: str
    worry: str = ""
    labels: tuple[str, ...] = ()

    def value(self, value: float) -> Metric:
        """Return the series with one value; it has no labels."""
        family = self._family()
        family.add_metric([], value)
        return family

    def values(self, values: Mapping[Any, float]) -> Metric:
        """Return the series with a value for each label, or for each tuple of labels, in their order."""
        family = self._family()
        for key, value in sorted(values.items(), key=str):
            family.add_metric([str(part) for part in _parts(key)], value)
        return family

    def times(self, histogram: Histogram) -> Metric:
        """Return the series with the counts of a histogram."""
        return histogram.series(self.name, self.meaning)

    def _family(self) -> CounterMetricFamily | GaugeMetricFamily:
        kind = CounterMetricFamily if self.kind == "counter" else GaugeMetricFamily
        return kind(self.name.removesuffix("_total"), self.meaning, labels=self.labels)


def _parts(key: object) -> Iterable[object]:
    return key if isinstance(key, tuple) else (key,)


REDIS_UP = Series(
    "comet_redis_up",
    "gauge",
    "1 if a probe came back through Redis in the last 10 seconds",
    "0 for more than 10 seconds",
)
REDIS_RECONNECTS = Series(
    "comet_redis_reconnects_total",
    "counter",
    "subscribe connections to Redis that were lost",
    "rises while Redis was not restarted",
)
LOOP_LAG = Series(
    "comet_event_loop_lag_seconds",
    "histogram",
    "seconds that a timer was late, measured twice a second",
    "p99 above 0.1: everything waits that long; the process or its machine is overloaded",
)
REDIS_PROBE = Series(
    "comet_redis_probe_seconds",
    "histogram",
    "seconds of a probe: a new connection to Redis, a publish, its return on the subscribe connection; every 5 seconds",
    "p99 above 0.1: Redis or the network to it is slow",
)
DRAINING = Series(
    "comet_draining",
    "gauge",
    "1 from the start of a drain to the end of the process",
    "longer than `COMET_DRAIN_SECONDS` + 5",
)
KEY_USES = Series(
    "comet_key_uses_total",
    "counter",
    "requests that were sent with a key, by its name, whatever the answer was",
    "a name that nobody should use any more",
    ("key",),
)
FOREIGN_REQUESTS = Series(
    "comet_foreign_requests_total",
    "counter",
    "requests to the publisher's and the internal ports that a page of another origin sent (403), or that came under a "
    "name which is not in `COMET_HOSTS` (421), and were refused",
    "403: somebody opened a page that gives orders; 421: a name is missing in `COMET_HOSTS`, or a page tries to read",
    ("code",),
)
BUILD_INFO = Series(
    "comet_build_info", "gauge", "always 1", "two versions for longer than a roll-out", ("version", "python", "build")
)
CPU = Series(
    "process_cpu_seconds_total",
    "counter",
    "CPU time, of the user and the system",
    "rate near 1: a core is full, and a process uses only one",
)
MEMORY = Series("process_resident_memory_bytes", "gauge", "memory in RAM (Linux)", "near the container's limit")
STARTED = Series(
    "process_start_time_seconds",
    "gauge",
    "start time of the process, in Unix time",
    "changes although the process was not restarted",
)
OPEN_FILES = Series("process_open_fds", "gauge", "open files, including connections (Linux)", "near `process_max_fds`")
MAX_OPEN_FILES = Series(
    "process_max_fds",
    "gauge",
    "files that the process may open: the hard limit, to which it raises its own",
    "less than the connections that you plan",
)

OF_EVERY_PROCESS = (
    REDIS_UP,
    REDIS_RECONNECTS,
    LOOP_LAG,
    REDIS_PROBE,
    DRAINING,
    KEY_USES,
    FOREIGN_REQUESTS,
    BUILD_INFO,
    CPU,
    MEMORY,
    STARTED,
    OPEN_FILES,
    MAX_OPEN_FILES,
)
