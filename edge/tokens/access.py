"""Which channels a subscriber may hear: those of all, those that its token names, and those that are its user's. Pure.

The answer does not depend on whether a channel exists: nothing here knows.
"""

from collections.abc import Iterable, Sequence

from common.access.patterns import Patterns
from common.names import channel_fault
from common.settings_values import USER
from edge.tokens.grant import Grant, TokenError, TokenReason


class Access:
    """Who may hear what: `public` channels need no token; `private` are templates such as `user:{sub}`."""

    def __init__(self, public: Patterns, private: Sequence[str]) -> None:
        self._public = public
        self._templates = tuple(_halves(template) for template in private)

    def check(self, channels: Iterable[str], grant: Grant | None) -> None:
        """Raise TokenError for the first channel that a subscriber may not hear; without a grant it has no token."""
        if grant is not None and self._templates:
            _check_user(grant.user)
        for channel in channels:
            if not self._public.matches(channel):
                self._check_private(channel, grant)

    def _check_private(self, channel: str, grant: Grant | None) -> None:
        if grant is None:
            raise TokenError(
                TokenReason.MISSING,
                f"id: {channel!r} needs a token; send it as token=… or in Authorization: Bearer …",
            )
        if not grant.channels.matches(channel) and not self._is_own(channel, grant.user):
            raise TokenError(
                TokenReason.CHANNEL,
                f"id: {channel!r} is not granted by the token; its claim channels must name it",
            )

    def _is_own(self, channel: str, user: str) -> bool:
        """Say whether a channel is what a template makes of a user; nobody's channels are nobody's."""
        return bool(user) and any(channel == f"{before}{user}{after}" for before, after in self._templates)


def _halves(template: str) -> tuple[str, str]:
    before, _, after = template.partition(USER)
    return before, after


def _check_user(user: str) -> None:
    """Raise TokenError for a user of whom a template cannot make a channel."""
    fault = channel_fault(user) if user else ""
    if fault:
        raise TokenError(TokenReason.CLAIM, f"token: claim sub: channels are named for it, and {fault}")
