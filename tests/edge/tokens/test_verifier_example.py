"""What the documentation shows is let in, and checking costs nothing where there are no tokens."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edge.tokens.source import keys_of
from edge.tokens.verifier import Verifier

ROOT = Path(__file__).parents[3]
KEY = "0123456789abcdef" * 4


def test_the_token_of_the_page_is_good(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lines of docs/tokens.md, as they stand there."""
    monkeypatch.setenv("COMET_TOKEN_KEY", KEY)
    (lines,) = re.findall(r"(?s)```python\n(.*?)```", (ROOT / "docs/tokens.md").read_text())
    made: dict[str, Any] = {}
    exec(lines, made)
    verifier = Verifier(keys_of(KEY), audience="", issuer="", leeway=5, requires_expiry=True)
    grant = verifier.verify(made["token"])
    assert (grant.user, grant.channels.texts) == ("bob", ["room", "team:blue:*"])


def test_only_the_keys_bring_the_library() -> None:
    """An edge without tokens does not pay for it."""
    modules = "edge.tokens.access, edge.tokens.verifier, edge.__main__"
    script = f"import sys, {modules}; print({{'jwt', 'cryptography.hazmat'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == "set()\n", done.stderr
