"""Settings of what a client may send at once."""

import pytest

from common.errors import SettingsError
from common.settings import load_settings

RANGES = {
    "max_head_bytes": ("bytes, ", 1024, 65536),
    "max_url_bytes": ("bytes, ", 256, 65536),
    "max_headers": ("", 8, 1000),
    "max_body_bytes": ("bytes, ", 256, 32768),
    "max_channels": ("", 1, 128),
    "max_operations": ("", 1, 256),
    "max_websocket_bytes": ("bytes, ", 256, 32768),
}


@pytest.mark.parametrize(("name", "unit", "least", "most"), [(name, *values) for name, values in RANGES.items()])
def test_each_limit_has_a_range(monkeypatch: pytest.MonkeyPatch, name: str, unit: str, least: int, most: int) -> None:
    """Its ends are allowed; beyond them a line says what is, and the process does not start."""
    variable = f"COMET_{name.upper()}"
    monkeypatch.setenv("COMET_MAX_HEAD_BYTES", "65536")
    monkeypatch.setenv("COMET_MAX_URL_BYTES", "1024")
    for value in (least, most):
        monkeypatch.setenv(variable, str(value))
        assert getattr(load_settings(), name) == value
    for value in (least - 1, most + 1):
        monkeypatch.setenv(variable, str(value))
        with pytest.raises(SettingsError) as caught:
            load_settings()
        assert str(caught.value) == f"{variable}='{value}': give a whole number ({unit}from {least} to {most})"


def test_a_rate_is_off_or_positive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Zero is the default."""
    assert load_settings().websocket_rate == 0
    monkeypatch.setenv("COMET_WEBSOCKET_RATE", "-1")
    with pytest.raises(SettingsError, match=r"^COMET_WEBSOCKET_RATE='-1': give a whole number \(from 0\)$"):
        load_settings()


@pytest.mark.parametrize(
    ("head", "url", "sentence"),
    [
        (16_384, 16_384, ""),
        (2000, 1999, ""),
        (2000, 2001, "a URL is part of a request head; give at most 2000, or raise COMET_MAX_HEAD_BYTES"),
        (None, 16_385, "a URL is part of a request head; give at most 16384, or raise COMET_MAX_HEAD_BYTES"),
    ],
)
def test_a_url_fits_into_a_head(monkeypatch: pytest.MonkeyPatch, head: int | None, url: int, sentence: str) -> None:
    """A larger limit would promise what cannot be."""
    if head is not None:
        monkeypatch.setenv("COMET_MAX_HEAD_BYTES", str(head))
    monkeypatch.setenv("COMET_MAX_URL_BYTES", str(url))
    if not sentence:
        assert load_settings().max_url_bytes == url
        return
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert str(caught.value) == f"COMET_MAX_URL_BYTES='{url}': {sentence}"


def test_who_lowers_the_limit_of_heads_is_told_of_that_of_urls(monkeypatch: pytest.MonkeyPatch) -> None:
    """A value that is wrong itself is told alone."""
    monkeypatch.setenv("COMET_MAX_HEAD_BYTES", "4096")
    with pytest.raises(SettingsError, match=r"^COMET_MAX_URL_BYTES=8192: .* at most 4096, or raise COMET_MAX_HEAD_"):
        load_settings()
    monkeypatch.setenv("COMET_MAX_HEAD_BYTES", "many")
    monkeypatch.setenv("COMET_MAX_URL_BYTES", "9000")
    with pytest.raises(SettingsError, match=r"^COMET_MAX_HEAD_BYTES='many': give a whole number [^;]*$"):
        load_settings()


def test_what_is_kept_for_later_has_room_for_the_largest(monkeypatch: pytest.MonkeyPatch) -> None:
    """The smallest budget of unfinished input holds the largest head, body and message that may be set."""
    monkeypatch.setenv("COMET_INPUT_BYTES", "65536")
    for name in ("max_head_bytes", "max_body_bytes", "max_websocket_bytes"):
        monkeypatch.setenv(f"COMET_{name.upper()}", str(RANGES[name][2]))
        assert getattr(load_settings(), name) <= load_settings().input_bytes
