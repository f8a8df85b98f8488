"""`python -m edge`."""

import os
import sys

from common.lean_import import lean_import
from common.service.runner import run_service

# aiohttp reads the machine's certificates when it is imported, for a client that an edge does not have: 2.6 MB.
# rediss:// reads them later.
with lean_import(os.environ, {"SSL_CERT_FILE": os.devnull, "SSL_CERT_DIR": os.devnull}):
    from edge.app import Edge


def main() -> int:
    """Run an edge until SIGTERM or SIGINT; return the exit code."""
    return run_service("edge", Edge)


if __name__ == "__main__":
    sys.exit(main())
