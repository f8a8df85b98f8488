"""The command line's own errors."""

import pytest

from comet.errors import DevError, HealthError
from common.errors import CometError


@pytest.mark.parametrize("error", [DevError, HealthError])
def test_they_are_sentences_of_the_error_tree(error: type[CometError]) -> None:
    """What catches a CometError shows their sentence."""
    with pytest.raises(CometError, match="say what is wrong"):
        raise error("say what is wrong")
