"""The edge of this checkout beside that of another commit: `python -m bench.compare`."""
