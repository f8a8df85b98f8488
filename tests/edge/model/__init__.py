"""A small world to try the hub in: a Redis of plain Python, edges whose network the test controls, and clients that
check every message they get against what was really published.
"""
