"""Whether a publisher may listen where it is told to: one without keys lets everybody who reaches it publish."""

from collections.abc import Sequence

from common.errors import SettingsError, cannot_listen
from common.logs import get_logger
from common.service.addresses import is_only_here


def check_exposure(host: str, keys: Sequence[str], *, open_to_all: bool) -> None:
    """Say that there are no keys; raises `SettingsError` if others than this machine could publish by mistake."""
    if keys:
        return
    try:
        only_here = is_only_here(host)
    except (OSError, UnicodeError) as error:
        raise cannot_listen("COMET_PUBLISHER_PORT", host, 0, error) from None
    if not only_here and not open_to_all:
        raise SettingsError(
            f"COMET_PUBLISHER_HOST={host}: others than this machine would publish without a key; set "
            "COMET_PUBLISH_KEYS, or COMET_OPEN_PUBLISHER=1 if they may"
        )
    get_logger().info("there are no COMET_PUBLISH_KEYS: whoever reaches this publisher may publish", host=host)
