"""The committed files of the browser client, checked without Node."""

import gzip
import json
from pathlib import Path

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "clients/js"
STATIC = ROOT / "publisher/static"
MAX_SIZE = 6000  # bytes, gzipped


def test_the_built_client_is_small() -> None:
    """`comet.js` has at most 6,000 bytes gzipped; `make client` checks it, too."""
    assert len(gzip.compress((STATIC / "comet.js").read_bytes())) <= MAX_SIZE


def test_both_builds_are_of_one_version() -> None:
    """Script and module differ only by their wrapping."""
    sizes = [(STATIC / name).stat().st_size for name in ("comet.js", "comet.mjs")]
    assert abs(sizes[0] - sizes[1]) < 100


def test_the_lock_names_no_registry() -> None:
    """Packages are named by version and hash, so that they come from the registry that npm is set to."""
    packages = json.loads((CLIENT / "package-lock.json").read_text())["packages"]
    assert len(packages) > 10
    assert [name for name, package in packages.items() if "resolved" in package] == []


def test_the_react_example_of_the_docs_is_the_one_that_is_checked() -> None:
    """docs/client.md shows the file that the type checker reads."""
    assert (CLIENT / "examples/useChannel.tsx").read_text() in (ROOT / "docs/client.md").read_text()
