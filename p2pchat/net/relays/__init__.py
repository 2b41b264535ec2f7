"""Circuits through relays: reserving them, choosing among several relays, and being one.

reservations   keeps a reservation at each relay it is told of       selection   which of our relays to be reached by
circuit_relay  serves circuits to others, within limits              lists       asks relays which others they know
"""
