"""Input from the net: envelopes, invites and mail, handled in transactions.

inbound: opens an envelope and saves its content. confirmed: acks and deposits. link_handler, mailbox_handler,
invite_handler: the callbacks of links, mailboxes and the joining dialogue.
"""
