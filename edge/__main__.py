"""`python -m edge`."""

import os
import sys

from common.service.runner import run_service

# aiohttp reads the machine's certificates when it is imported, for a client that an edge does not have: 2.6 MB that
# every edge would carry. They are out of sight for that moment, and for nothing else (rediss:// reads them later).
_CERTIFICATES = {"SSL_CERT_FILE": os.devnull, "SSL_CERT_DIR": os.devnull}
_before = {name: os.environ.get(name) for name in _CERTIFICATES}
os.environ.update(_CERTIFICATES)
from edge.app import Edge  # noqa: E402

for _name, _value in _before.items():
    if _value is None:
        del os.environ[_name]
    else:
        os.environ[_name] = _value


def main() -> int:
    """Run an edge until it is told to stop; return the exit code."""
    return run_service("edge", Edge)


if __name__ == "__main__":
    sys.exit(main())
