"""The two edges that are compared."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.compare.checkouts import copies, git, is_compiled

AUTHOR = ("-c", "user.name=x", "-c", "user.email=x", "-c", "commit.gpgsign=false")


def put(checkout: Path, text: str) -> None:
    """Write the two packages of an edge."""
    for package in ("edge", "common"):
        (checkout / package).mkdir(parents=True, exist_ok=True)
        (checkout / package / "__init__.py").write_text(text)


def texts(checkout: Path) -> list[str]:
    """Return what is in the two packages."""
    return [(checkout / package / "__init__.py").read_text() for package in ("edge", "common")]


@pytest.fixture(autouse=True)
def of_a_hook(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Name another repository in the environment, as a hook and `git rebase --exec` do: it stays as it is."""
    other = tmp_path_factory.mktemp("other") / "repository"
    monkeypatch.setenv("GIT_DIR", str(other))
    yield
    assert not other.exists()


@pytest.mark.skipif(shutil.which("git") is None, reason="no git on this machine")
def test_the_base_is_a_commit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The other edge is the one of this checkout with what is not committed yet; both are gone afterwards."""
    put(tmp_path, "old")
    for words in (("init", "-q"), ("add", "."), (*AUTHOR, "commit", "-q", "-m", "x")):
        git(tmp_path, *words)
    put(tmp_path, "new")
    with copies("HEAD", tmp_path) as (base, ours):
        assert (texts(base), texts(ours)) == (["old", "old"], ["new", "new"])
        assert len(str(base)) == len(str(ours))
    assert not base.exists()
    assert not ours.exists()
    with pytest.raises(SystemExit, match="2"), copies("nowhere", tmp_path):
        pass
    assert "not a valid object name" in capsys.readouterr().err


def test_the_base_is_a_folder(tmp_path: Path) -> None:
    """What is compiled there is copied, too, and the library beside the packages that compiled modules share."""
    put(tmp_path / "one", "old")
    put(tmp_path / "other", "new")
    (tmp_path / "one/edge/state.so").touch()
    (tmp_path / "one/edge__mypyc.so").touch()
    with copies(str(tmp_path / "one"), tmp_path / "other") as (base, ours):
        assert (texts(base), texts(ours)) == (["old", "old"], ["new", "new"])
        assert (is_compiled(base), is_compiled(ours)) == (True, False)
        assert (base / "edge__mypyc.so").exists()
