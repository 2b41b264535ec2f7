"""What strangers may have of a host: slots, work, and turns, by place on the network."""
