"""The series that tells which version runs where."""

import platform

from prometheus_client import CollectorRegistry, Gauge

from common.version import our_version


def register_build_info(registry: CollectorRegistry) -> None:
    """Add `comet_build_info`, which tells an operator what is running where."""
    build = Gauge("comet_build_info", "Always 1.", ("version", "python"), registry=registry)
    build.labels(our_version(), platform.python_version()).set(1)
