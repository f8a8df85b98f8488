"""Why a token is refused."""

import pytest

from edge.tokens.grant import TokenError, TokenReason


@pytest.mark.parametrize("reason", list(TokenReason))
def test_what_a_good_token_does_not_allow_is_403(reason: TokenReason) -> None:
    """Everything else is 401: another token may help."""
    error = TokenError(reason, "a sentence")
    forbidden = reason in {TokenReason.CHANNEL, TokenReason.USER}
    assert (error.status, error.reason) == (403 if forbidden else 401, reason)
