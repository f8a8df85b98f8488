"""The public port: accepts connections, reads requests and answers them."""
