"""What an edge counts itself, read from its internal port."""

import re
import urllib.request

SAMPLE = re.compile(r"^(\w+(?:\{[^}]*\})?) (\S+)$", re.MULTILINE)


def read_metrics(admin_port: int) -> dict[str, float]:
    """Return every sample of an edge's metrics page, by its name with its labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{admin_port}/metrics", timeout=10) as answer:
        return parse_metrics(answer.read().decode())


def parse_metrics(page: str) -> dict[str, float]:
    """Return the samples of a page in the text format of Prometheus."""
    return {name: float(value) for name, value in SAMPLE.findall(page)}
