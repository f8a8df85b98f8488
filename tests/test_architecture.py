"""The map of the code is true: what docs/architecture.md names is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "architecture.md").read_text()
PATHS = sorted(set(re.findall(r"`((?:bench|clients|comet|common|edge|publisher|tests)/[\w/.-]*)`", PAGE)))
INVARIANTS = re.findall(r"^- \*\*(I\d+)\*\* .*?(`tests/[\w/]+\.py`)", PAGE, re.MULTILINE)
CODE = ("common", "edge", "publisher", "comet", "tests")
MAX_MODULES = 12


@pytest.mark.parametrize("path", PATHS)
def test_what_the_map_names_is_there(path: str) -> None:
    """A file or folder that was moved is moved on the map, too."""
    assert (ROOT / path).exists()


def test_each_invariant_stands_on_a_line_with_its_test() -> None:
    """I1 to I12, each once."""
    assert [label for label, _ in INVARIANTS] == [f"I{number}" for number in range(1, 13)]
    assert all((ROOT / path.strip("`")).is_file() for _, path in INVARIANTS)


def test_each_invariant_that_is_cited_is_defined() -> None:
    """A label in the code leads to the map."""
    cited = {label for name in CODE for path in (ROOT / name).rglob("*.py") for label in labels(path.read_text())}
    assert cited <= {label for label, _ in INVARIANTS}


def labels(text: str) -> set[str]:
    """Return the invariants that a text cites, as in `(I4, I6)`."""
    return set(re.findall(r"\bI\d{1,2}\b", text)) - {"I001"}


@pytest.mark.parametrize("package", ["bench", "comet", "common", "edge", "publisher"])
def test_no_folder_holds_more_than_a_dozen_modules(package: str) -> None:
    """A stranger looks through one folder at a glance."""
    folders = [folder for folder in (ROOT / package, *(ROOT / package).rglob("*")) if folder.is_dir()]
    assert {folder.name: count for folder in folders if (count := len(list(folder.glob("*.py")))) > MAX_MODULES} == {}
