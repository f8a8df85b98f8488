"""The servers that are measured: how they are started, read, and published to."""
