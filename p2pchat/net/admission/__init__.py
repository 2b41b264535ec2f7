"""Limits what strangers may use of a host: slots, work and turns, by place on the network."""
