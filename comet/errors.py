"""The command line's own branch of the error tree."""

from common.errors import CometError


class DevError(CometError):
    """The development cluster cannot start, or ended when nobody asked it to."""


class HealthError(CometError):
    """A health check was asked of something that is neither a service nor a URL."""
