"""Sending: the outbox, what is in flight on each link, and deposits in queues at relays."""
