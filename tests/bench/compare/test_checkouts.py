"""The checkout that is compared with."""

import shutil
import subprocess
from pathlib import Path

import pytest

from bench.compare.checkouts import checkout_of


def put(path: Path, text: str) -> None:
    """Write a file of a package."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.skipif(shutil.which("git") is None, reason="no git on this machine")
def test_the_base_is_a_commit_or_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A commit's edge stands in a temporary folder; a name that is neither is refused with what git says."""
    for package in ("edge", "common"):
        put(tmp_path / package / "__init__.py", "old")
    author = ("-c", "user.name=x", "-c", "user.email=x", "-c", "commit.gpgsign=false")
    for words in (("init", "-q"), ("add", "."), (*author, "commit", "-q", "-m", "x")):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    put(tmp_path / "edge/__init__.py", "new")
    with checkout_of("HEAD", tmp_path) as folder:
        assert [(folder / package / "__init__.py").read_text() for package in ("edge", "common")] == ["old", "old"]
    assert not folder.exists()
    with checkout_of(str(tmp_path), tmp_path) as folder:
        assert folder == tmp_path
    with pytest.raises(SystemExit, match="2"), checkout_of("nowhere", tmp_path):
        pass
    assert "not a valid object name" in capsys.readouterr().err
