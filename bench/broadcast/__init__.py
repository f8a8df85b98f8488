"""A message to 15,000 subscribers of one channel: `python -m bench.broadcast`."""
