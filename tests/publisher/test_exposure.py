"""A publisher without keys says so, and lets nobody else in by mistake."""

import pytest
from structlog.testing import capture_logs

from common.errors import SettingsError
from publisher.exposure import check_exposure

KEYS = ("a-key-of-16-chars",)
EVENT = "there are no COMET_PUBLISH_KEYS: whoever reaches this publisher may publish"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "::1", "[::1]", "::ffff:127.0.0.1"])
def test_on_loopback_it_says_so_and_listens(host: str) -> None:
    """One line."""
    with capture_logs() as lines:
        check_exposure(host, (), open_to_all=False)
    assert lines == [{"event": EVENT, "host": host, "log_level": "info"}]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "[::]", "192.0.2.7", "fd00::2", "0"])
def test_elsewhere_it_listens_only_if_told_so(host: str) -> None:
    """Else one line names both settings."""
    with pytest.raises(SettingsError) as caught:
        check_exposure(host, (), open_to_all=False)
    assert str(caught.value) == (
        f"COMET_PUBLISHER_HOST={host}: others than this machine would publish without a key; set "
        "COMET_PUBLISH_KEYS, or COMET_OPEN_PUBLISHER=1 if they may"
    )
    with capture_logs() as lines:
        check_exposure(host, (), open_to_all=True)
    assert [line["event"] for line in lines] == [EVENT]


@pytest.mark.parametrize("open_to_all", [False, True])
def test_with_keys_it_listens_anywhere(open_to_all: bool) -> None:
    """And says nothing."""
    with capture_logs() as lines:
        check_exposure("0.0.0.0", KEYS, open_to_all=open_to_all)
    assert lines == []


def test_a_host_that_is_none_is_told_as_such() -> None:
    """As when it is listened on."""
    with pytest.raises(
        SettingsError, match=r"^COMET_PUBLISHER_HOST=no\.invalid: this is not an address of this machine"
    ):
        check_exposure("no.invalid", (), open_to_all=False)
