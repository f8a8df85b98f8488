import asyncio
from types import SimpleNamespace

import pytest

from publisher import __main__ as entry_point


def test_uvloop_is_used_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its loop is an extra; without it the process runs on asyncio's own."""
    monkeypatch.setattr(entry_point, "find_spec", lambda name: None)
    assert entry_point.fast_loop() is None

    uvloop = SimpleNamespace(new_event_loop=asyncio.new_event_loop)
    monkeypatch.setattr(entry_point, "find_spec", lambda name: object())
    monkeypatch.setattr(entry_point, "import_module", lambda name: {"uvloop": uvloop}[name])
    assert entry_point.fast_loop() is uvloop.new_event_loop
