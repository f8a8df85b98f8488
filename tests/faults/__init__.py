"""Faults on real processes: what clients saw is read by a checker that knows what was published."""
