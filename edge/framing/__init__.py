"""Framings: each turns items into the bytes of one transport; a file for each transport. Pure."""
