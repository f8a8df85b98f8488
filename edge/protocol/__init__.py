"""What clients send: bytes in, values out. Pure. (The other direction is edge/framing/.)"""
