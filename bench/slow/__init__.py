"""Readers that are stuck: `python -m bench.slow`."""
