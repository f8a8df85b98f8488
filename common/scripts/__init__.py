"""The Redis scripts: their texts, their calls and what the calls return."""
