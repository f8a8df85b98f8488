"""A held subscriber, from its welcome to its close."""
