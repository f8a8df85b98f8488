"""What proxies say of the client behind them: its address, in a header or in a PROXY line."""
