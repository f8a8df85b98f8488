"""The command line of the Comet cluster: `comet dev`, `comet edge`, `comet publisher`."""

from common.service.version import our_version


def __getattr__(name: str) -> str:
    if name == "__version__":
        return our_version()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
