"""The longest turn of an edge's event loop that one request brings."""
