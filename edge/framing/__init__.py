"""Framings: pure code that turns items into the bytes of each transport, one file for each."""
