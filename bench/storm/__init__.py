"""A reconnect storm: `python -m bench.storm`."""
