"""Bodies of requests: their encodings, forms and JSON."""
