"""The public port: connections are accepted, and their requests are read and answered."""
