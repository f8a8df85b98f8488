"""The connections to Redis, their URL, and the registry of edges."""
