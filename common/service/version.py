"""The version of the project, and which build of the hot paths runs."""

from functools import lru_cache

from common import names


@lru_cache(maxsize=1)
def our_version() -> str:
    """Return the installed version, or `0+unknown` in a checkout that was never installed."""
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415  # slow to import, rarely needed

    try:
        return version("comet-cluster")
    except PackageNotFoundError:
        return "0+unknown"


def our_build() -> str:
    """Return "compiled" if the hot paths are shared objects that mypyc made, else "pure".

    Every process has `common.names`; where that was loaded from tells of all, since they are compiled together.
    """
    return "pure" if str(names.__file__).endswith((".py", ".pyc")) else "compiled"
