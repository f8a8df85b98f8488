"""The publisher's HTTP routes."""
