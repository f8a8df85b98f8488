"""What the edge and the publisher share: names, messages, positions, settings, Redis, the life of a process."""
