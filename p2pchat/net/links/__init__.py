"""Links with contacts: verified streams, keeping them up, and the dialogue of an invite.

link             the hello of a link, its reader and its writer      reconnect   dials contacts, with back-off
invite_protocol  the dialogue by which an invite becomes a contact, on both sides
judging          when a link counts as broken, by what arrives on it
punching         agrees with a contact on a circuit to connect through both routers
"""
