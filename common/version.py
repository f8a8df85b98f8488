"""Which version of the project this is."""

from functools import lru_cache


@lru_cache(maxsize=1)
def our_version() -> str:
    """Return the installed version; a bare checkout that was never installed has none."""
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415  # slow to import, seldom needed

    try:
        return version("comet-cluster")
    except PackageNotFoundError:
        return "0+unknown"
