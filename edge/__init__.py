"""The edge: holds the subscribers' connections and fans messages out to them."""
