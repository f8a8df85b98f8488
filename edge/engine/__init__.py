"""Descriptors and deadlines: the code that writes to connections and closes them."""
