"""The command line's own branch of the error tree (see common.errors)."""

from common.errors import CometError


class DevError(CometError):
    """The development cluster cannot start, or ended before it was told to."""


class HealthError(CometError):
    """The target of a health check is neither a service nor a URL."""
