"""The mark of tests that replace what compiled modules do not let anyone replace."""

import pytest

from common.service.version import our_build

# mypyc checks that an argument is of its type, binds imported modules and its own functions when it compiles, and lets
# no interpreted class inherit from a compiled one.
pure_only = pytest.mark.skipif(
    our_build() == "compiled", reason="the compiled build takes no doubles of its own objects"
)
