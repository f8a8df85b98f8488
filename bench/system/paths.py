"""Where things are: this checkout, the C sources, what is built, what is kept."""

from pathlib import Path

BENCH = Path(__file__).parent.parent
CHECKOUT = BENCH.parent
C_SOURCES = BENCH / "c"
BUILD = BENCH / "build"
RESULTS = BENCH / "results"
