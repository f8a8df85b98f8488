"""The tests mirror the packages: those of a module are found by its path alone."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("common", "edge", "publisher", "comet")
MAX_LINES = 400
TESTS_OF_A_MODEL = ROOT / "tests/common/scripts/test_model.py"  # of the tests, beside the scripts that it models

MODULES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py")) if path.stem != "__init__"]
TESTS = [path for package in PACKAGES for path in sorted((ROOT / "tests" / package).rglob("test_*.py"))]


def named(path: Path) -> str:
    """Return the name by which a test is shown."""
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("module", MODULES, ids=named)
def test_each_module_has_a_test_module(module: Path) -> None:
    """`edge/engine/seats.py` is tested in `tests/edge/engine/test_seats.py`."""
    folder = ROOT / "tests" / module.parent.relative_to(ROOT)
    assert (folder / f"test_{module.stem.strip('_')}.py").is_file()


@pytest.mark.parametrize("tests", TESTS, ids=named)
def test_each_test_module_is_named_for_what_it_tests(tests: Path) -> None:
    """One that is split is named for its module and its topic: `test_seats_walk.py` stands beside `test_seats.py`."""
    folder, name = ROOT / tests.parent.relative_to(ROOT / "tests"), tests.stem.removeprefix("test_")
    tested = [path.stem.strip("_") for path in folder.iterdir()]
    assert tests == TESTS_OF_A_MODEL or any(name == one or name.startswith(f"{one}_") for one in tested)


def test_no_file_of_tests_is_too_long() -> None:
    """One that is gets split by what its tests are about."""
    files = (ROOT / "tests").rglob("*.py")
    assert [named(path) for path in files if len(path.read_text().splitlines()) > MAX_LINES] == []
