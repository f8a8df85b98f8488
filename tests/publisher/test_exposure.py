"""A publisher without keys says so, and lets nobody else in by mistake."""

import pytest
from structlog.testing import capture_logs

from common.access.keys import KeyRing, read_admin_keys, read_publish_keys
from common.errors import SettingsError
from publisher.exposure import check_exposure, tell_exposure

KEYS = ("a-key-of-16-chars",)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "::1", "[::1]", "::ffff:127.0.0.1"])
def test_on_loopback_it_listens_without_keys(host: str) -> None:
    """Whatever its loopback address is called."""
    check_exposure(host, (), open_to_all=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "[::]", "192.0.2.7", "fd00::2", "0"])
def test_elsewhere_it_listens_without_keys_only_if_told_so(host: str) -> None:
    """Else one line names both settings."""
    with pytest.raises(SettingsError) as caught:
        check_exposure(host, (), open_to_all=False)
    assert str(caught.value) == (
        f"COMET_PUBLISHER_HOST={host}: others than this machine would publish without a key; set "
        "COMET_PUBLISH_KEYS, or COMET_OPEN_PUBLISHER=1 if they may"
    )
    check_exposure(host, (), open_to_all=True)
    check_exposure(host, KEYS, open_to_all=False)


def test_a_host_that_is_none_is_told_as_such() -> None:
    """As when it is listened on."""
    with pytest.raises(
        SettingsError, match=r"^COMET_PUBLISHER_HOST=no\.invalid: this is not an address of this machine"
    ):
        check_exposure("no.invalid", (), open_to_all=False)


def test_one_line_tells_that_there_are_no_keys() -> None:
    """And nothing else."""
    with capture_logs() as lines:
        tell_exposure("localhost", KeyRing(), KeyRing())
    event = "there are no COMET_PUBLISH_KEYS: whoever reaches this publisher may publish"
    assert lines == [{"event": event, "host": "localhost", "log_level": "info"}]


@pytest.mark.parametrize(
    ("entries", "operators", "told"),
    [
        (["k3y-of-the-shop-x"], [], ["key-1: all channels, operates"]),
        (["shop:k3y-of-the-shop-x"], ["ops:k3y-of-operators"], ["shop: all channels", "ops: operates"]),
        (["shop:k3y-of-the-shop-x:b:* a *"], ["see:k3y-of-operators:read"], ["shop: * a b:*", "see: only reads"]),
        (
            ["shop:k3y-of-the-shop-x:b:*", "k3y-customer-notifications"],
            [],
            ["shop: b:*", "key-2: all channels, operates"],
        ),
    ],
)
def test_one_line_tells_what_each_key_opens(entries: list[str], operators: list[str], told: list[str]) -> None:
    """By its name and never the key: so a channel that a comma made a key is seen at the first start."""
    publishing = KeyRing("COMET_PUBLISH_KEYS", read_publish_keys(entries))
    operating = KeyRing("COMET_ADMIN_KEYS", read_admin_keys(operators))
    with capture_logs() as lines:
        tell_exposure("localhost", publishing, operating)
    assert lines[-1] == {"event": "what each key opens", "keys": told, "log_level": "info"}
    assert "k3y" not in str(lines)
