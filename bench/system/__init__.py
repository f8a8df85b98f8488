"""This machine: its processes, its memory, its Python."""
