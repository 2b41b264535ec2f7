"""Relays for circuits: reserving a place at one, choosing among several, and being one."""
