"""Black-box tests: real processes, real sockets, a real Valkey."""
