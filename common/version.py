"""The version of the project."""

from functools import lru_cache


@lru_cache(maxsize=1)
def our_version() -> str:
    """Return the installed version, or `0+unknown` in a checkout that was never installed."""
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415  # slow to import, rarely needed

    try:
        return version("comet-cluster")
    except PackageNotFoundError:
        return "0+unknown"
