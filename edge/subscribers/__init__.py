"""A subscriber, from its request to its close: attached, welcomed, held, and answered, closed or evicted."""
