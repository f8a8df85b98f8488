"""What every process has: its life from start to stop, and its internal HTTP port."""
