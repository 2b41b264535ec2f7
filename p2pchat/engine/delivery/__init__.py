"""Sending: the outbox, what is in flight on each link, and deposits in queues at relays.

outbound        contents become sealed rows of the outbox
send_window     the part of the outbox that is in flight on one route
link_sender     sends the outbox over links
mailbox_sender  sends the outbox to queues at relays
mailbox_queues  which queues to watch, and where to deposit, read from the store
relay_answers   which relays answer, so that something can be left there
queues          our own queues, announced to each contact
states          the delivery states of messages
group_rules     what the rules of a group let its members write
read_receipts   marking messages as read, and telling their senders
"""
