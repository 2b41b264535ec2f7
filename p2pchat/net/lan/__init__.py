"""Finding contacts on the local network: `discovery` announces and recognises, `sockets` sends and receives."""
