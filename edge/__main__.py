"""`python -m edge`."""

import sys

from common.service import run_service
from edge.app import Edge


def main() -> int:
    """Run an edge until it is told to stop; return the exit code."""
    return run_service("edge", Edge)


if __name__ == "__main__":
    sys.exit(main())
