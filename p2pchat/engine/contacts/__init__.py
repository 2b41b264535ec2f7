"""Contacts, and what is agreed with them: invites, sessions, relays, names, addresses."""
