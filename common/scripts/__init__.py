"""The Redis scripts: their texts, their calls and the results."""
