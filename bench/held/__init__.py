"""What a held connection costs: `python -m bench.held`."""
