"""Metrics: what a series is, what every process shows, and counters declared as fields."""
