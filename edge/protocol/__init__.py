"""What clients send: bytes in, values out. Pure."""
