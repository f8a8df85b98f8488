"""Questions to edges over Redis, and their answers."""
