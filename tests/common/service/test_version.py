from importlib import metadata

import pytest

from common import names
from common.service.version import our_build, our_version


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


@pytest.mark.parametrize(
    ("file", "build"),
    [
        ("/x/common/names.py", "pure"),
        ("/x/common/names.pyc", "pure"),
        ("/x/common/names.cpython-311-x86_64-linux-gnu.so", "compiled"),
    ],
)
def test_the_build_is_that_of_the_modules_that_run(monkeypatch: pytest.MonkeyPatch, file: str, build: str) -> None:
    """A hot module knows the file that it was loaded from."""
    monkeypatch.setattr(names, "__file__", file)
    assert our_build() == build
