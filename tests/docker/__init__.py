"""The shipped image and compose.yaml on a real Docker engine of our own, which leaves nothing behind."""
