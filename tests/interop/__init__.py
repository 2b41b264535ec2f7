"""Our DHT among the nodes of another implementation, which npm brings: `make interop`."""
