from importlib import metadata

import pytest

from common.version import our_version


@pytest.fixture(autouse=True)
def fresh() -> None:
    """Forget the version that was read before."""
    our_version.cache_clear()


def test_the_version_is_the_installed_one() -> None:
    """It is read from the distribution."""
    assert our_version() == metadata.version("comet-cluster")


def test_a_checkout_that_was_never_installed_has_a_version_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is 0, and says that it is not known."""

    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    assert our_version() == "0+unknown"
    our_version.cache_clear()
