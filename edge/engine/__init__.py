"""Descriptors and deadlines: the only code that writes to connections and closes them."""
