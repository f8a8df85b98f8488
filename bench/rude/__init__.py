"""Clients that behave badly: `python -m bench.rude`."""
