"""The lock files hold what pyproject.toml asks for, each with the hashes of its files; `make lock` writes them anew."""

import json
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PROJECT["project"]["optional-dependencies"]
#: Each file, and what it must hold: the product needs the one, and is built by means of the other.
WANTED = {
    "requirements.lock": [*PROJECT["project"]["dependencies"], *EXTRAS["uvloop"]],
    "requirements-build.lock": [*PROJECT["build-system"]["requires"], *EXTRAS["compiled"]],
}
HASHES = r"( \\\n    --hash=sha256:[0-9a-f]{64})+\n"
ENTRY = re.compile(r"(?P<name>[a-z0-9-]+)==(?P<version>[^ ;]+)( ; (?P<marker>[^\\]+))?" + HASHES)
COMMENT = re.compile(r"^ *#.*\n", re.MULTILINE)


def locked(file: str) -> dict[str, str]:
    """Return the version of each package in a lock file; every line of it is read."""
    text = COMMENT.sub("", (ROOT / file).read_text())
    entries = list(ENTRY.finditer(text))
    assert "".join(entry[0] for entry in entries) == text, "something has no version, or no hash"
    return {entry["name"]: entry["version"] for entry in entries}


@pytest.mark.parametrize(("file", "line"), [(file, line) for file, lines in WANTED.items() for line in lines])
def test_what_is_asked_for_is_locked(file: str, line: str) -> None:
    """In a version that pyproject.toml allows."""
    wanted = Requirement(line)
    version = locked(file).get(canonicalize_name(wanted.name))
    assert version is not None, f"{wanted.name} is not in {file}: run make lock"
    assert wanted.specifier.contains(version, prereleases=True), f"{wanted.name}=={version}: run make lock"


@pytest.mark.parametrize("file", WANTED)
def test_what_that_needs_is_locked_too(file: str) -> None:
    """Also what an extra brings, such as PyJWT's; of packages that are installed here in the version of the lock."""
    versions = locked(file)
    extras = {canonicalize_name(Requirement(line).name): Requirement(line).extras for line in WANTED[file]}
    for name, version in versions.items():
        try:
            here = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        if here.version == version:
            needed = needs(here, {"", *extras.get(name, ())})
            assert needed <= versions.keys(), f"{name} needs {needed - versions.keys()}: run make lock"


def needs(package: metadata.Distribution, extras: set[str]) -> set[str]:
    """Return what a package needs here, with these of its extras."""
    lines = map(Requirement, package.requires or ())
    return {
        canonicalize_name(line.name)
        for line in lines
        if line.marker is None or any(line.marker.evaluate({"extra": extra}) for extra in extras)
    }


@pytest.mark.system
@pytest.mark.skipif(find_spec("cyclonedx_py") is None, reason="pip install -e '.[release]' (as make sbom does)")
def test_the_list_of_parts_is_that_of_the_lock(tmp_path: Path) -> None:
    """`make sbom` writes every package with its version, and itself as what is made of them."""
    file = tmp_path / "sbom.json"
    command = [
        "make",
        "--silent",
        "--old-file=.venv/release",
        f"BIN={Path(sys.executable).parent}",
        f"SBOM={file}",
        "sbom",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    sbom = json.loads(file.read_text())
    assert sbom["bomFormat"] == "CycloneDX"
    assert sbom["metadata"]["component"]["name"] == PROJECT["project"]["name"]
    assert {part["name"]: part["version"] for part in sbom["components"]} == locked("requirements.lock")


def test_both_files_agree() -> None:
    """What is in both has one version, since both are installed side by side to build."""
    first, second = (locked(file) for file in WANTED)
    assert {name: first[name] for name in first.keys() & second.keys()} == {
        name: second[name] for name in first.keys() & second.keys()
    }


@pytest.mark.parametrize("file", WANTED)
def test_no_place_to_download_from_is_named(file: str) -> None:
    """Hashes say what a file is, wherever it is from."""
    text = (ROOT / file).read_text()
    assert "://" not in text
    assert "index" not in text
    assert "find-links" not in text
