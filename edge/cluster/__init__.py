"""What this edge says to publishers and other edges over Redis, and what they ask of it."""
