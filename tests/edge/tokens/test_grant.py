"""Why a token is refused."""

import pytest

from edge.tokens.grant import TokenError, TokenReason


@pytest.mark.parametrize("reason", list(TokenReason))
def test_only_a_channel_that_a_good_token_does_not_name_is_403(reason: TokenReason) -> None:
    """Everything else is 401: another token may help."""
    error = TokenError(reason, "a sentence")
    assert (error.status, error.reason) == (403 if reason is TokenReason.CHANNEL else 401, reason)
