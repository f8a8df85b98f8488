"""`python -m bench.held`."""

import sys

from bench.held.measure import main

sys.exit(main())
