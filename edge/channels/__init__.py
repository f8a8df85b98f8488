"""A channel on this edge, from SUBSCRIBE to the end of its linger."""
