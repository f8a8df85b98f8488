"""The connections to Redis, and what processes announce there."""
