"""The pure build is measured beside the compiled one, and only there."""

from pathlib import Path

import pytest

from bench.servers import builds
from bench.servers.builds import pure_beside


def test_a_pure_checkout_has_nothing_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the pure build itself."""
    monkeypatch.setattr(builds, "our_build", lambda: "pure")
    with pure_beside() as servers:
        assert servers == {}


def test_a_compiled_checkout_has_a_copy_without_compiled_modules(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The copy is gone afterwards."""
    monkeypatch.setattr(builds, "our_build", lambda: "compiled")
    for name in ("edge/app.py", "edge/app.so", "common/names.py", "common/names.so"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pure_beside(checkout=tmp_path) as servers:
        copy = servers["pure"].keywords["checkout"]
        assert sorted(str(path.relative_to(copy)) for path in copy.rglob("*.*")) == ["common/names.py", "edge/app.py"]
    assert not copy.exists()
