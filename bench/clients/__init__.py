"""The load: subscribers, pollers and publishers."""
