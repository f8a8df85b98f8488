import os
import sys
from importlib import import_module

import pytest

from common.lean_import import lean_import


def test_values_are_seen_during_the_import_and_gone_after_it() -> None:
    """What was there is there again, what was not is not."""
    seen: dict[str, object] = {"kept": 1, "changed": 2}
    with lean_import(seen, {"changed": None, "new": 3}):
        assert seen == {"kept": 1, "changed": None, "new": 3}
    assert seen == {"kept": 1, "changed": 2}


def test_an_import_that_fails_changes_nothing() -> None:
    """The values are taken back however the block ends."""
    seen: dict[str, object] = {"changed": 2}
    with pytest.raises(ImportError), lean_import(seen, {"changed": None, "new": 3}):
        raise ImportError
    assert seen == {"changed": 2}


def test_a_hidden_module_cannot_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that asks whether a module is there gets its ImportError, and finds it afterwards."""
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    with lean_import(sys.modules, {"colorsys": None}), pytest.raises(ImportError):
        import_module("colorsys")
    assert import_module("colorsys").rgb_to_hsv


def test_the_environment_has_its_own_values_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that was set is set again, one that was not is not."""
    monkeypatch.setenv("SSL_CERT_FILE", "/its/own")
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    with lean_import(os.environ, {"SSL_CERT_FILE": os.devnull, "SSL_CERT_DIR": os.devnull}):
        assert (os.environ["SSL_CERT_FILE"], os.environ["SSL_CERT_DIR"]) == (os.devnull, os.devnull)
    assert os.environ["SSL_CERT_FILE"] == "/its/own"
    assert "SSL_CERT_DIR" not in os.environ
