"""Requests to edges over Redis, and their replies."""
