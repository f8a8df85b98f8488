"""A million connections on one machine: `python -m bench.million`."""
