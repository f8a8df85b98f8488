"""Whether a publisher may listen where it is told to: one without keys lets everybody who reaches it publish.

With keys, its log says what each opens: a comma within the channels of a key makes another key of what follows it.
"""

from collections.abc import Sequence

from common.access.keys import KeyRing
from common.errors import SettingsError, cannot_listen
from common.logs import get_logger
from common.service.addresses import is_only_here


def check_exposure(host: str, keys: Sequence[str], *, open_to_all: bool) -> None:
    """Raise `SettingsError` if others than this machine could publish without a key by mistake."""
    if keys or open_to_all:
        return
    try:
        only_here = is_only_here(host)
    except (OSError, UnicodeError) as error:
        raise cannot_listen("COMET_PUBLISHER_PORT", host, 0, error) from None
    if not only_here:
        raise SettingsError(
            f"COMET_PUBLISHER_HOST={host}: others than this machine would publish without a key; set "
            "COMET_PUBLISH_KEYS, or COMET_OPEN_PUBLISHER=1 if they may"
        )


def tell_exposure(host: str, publishing: KeyRing, operating: KeyRing) -> None:
    """Say that a publisher, which listens now, has no keys; or what each opens, by its name."""
    if not publishing:
        get_logger().info("there are no COMET_PUBLISH_KEYS: whoever reaches this publisher may publish", host=host)
    bare = "all channels" if operating else "all channels, operates"
    opened = [f"{key.name}: {' '.join(key.channels.texts) or bare}" for key in publishing]
    opened += [f"{key.name}: {'only reads' if key.only_reads else 'operates'}" for key in operating]
    if opened:
        get_logger().info("what each key opens", keys=opened)
