"""The channels of this edge, each from its SUBSCRIBE to the end of its linger."""
