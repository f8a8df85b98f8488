"""The command line's own branch of the error tree."""

from common.errors import CometError


class DevError(CometError):
    """The development cluster cannot start, or ended when nobody asked it to."""
