"""From a wish to send to bytes handed to the net: the outbox, its windows, and the queues at relays."""
