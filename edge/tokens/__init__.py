"""Subscribe tokens: who a subscriber is, and which channels it may hear."""
