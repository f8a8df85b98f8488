"""The edge: holds the connections of subscribers and sends them the messages of their channels."""
