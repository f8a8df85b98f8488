"""The command line of the Comet cluster: `comet dev`, `comet edge`, `comet publisher`."""


def version() -> str:
    """Return the installed version; a bare checkout that was never installed has none."""
    from importlib.metadata import PackageNotFoundError  # noqa: PLC0415  # slow to import, seldom needed
    from importlib.metadata import version as installed_version  # noqa: PLC0415

    try:
        return installed_version("comet-cluster")
    except PackageNotFoundError:
        return "0+unknown"


def __getattr__(name: str) -> str:
    if name == "__version__":
        return version()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
