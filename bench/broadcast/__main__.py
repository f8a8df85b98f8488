"""`python -m bench.broadcast`."""

import sys

from bench.broadcast.measure import main

sys.exit(main())
