"""The types of ids: all are bytes, and none is taken for another.

To a type checker each is a type of its own; at run time it is the bytes themselves, and costs a call only where it is
made. They are made where an id is read (a row, a frame, the text of a face) or computed, and nowhere else.
"""

from __future__ import annotations

from typing import NewType

ContactId = NewType("ContactId", bytes)
"""A person, 8 bytes, random: it means something in this profile only."""
DeviceId = NewType("DeviceId", bytes)
"""A device of a contact, 8 bytes; see `first_device`."""
ChatId = NewType("ChatId", bytes)
"""A chat, 8 bytes; see `direct_chat`."""
MessageId = NewType("MessageId", bytes)
"""A message, 16 bytes that begin with its time. It is the same for everybody, so whoever has it can repeat its id."""
EnvelopeId = NewType("EnvelopeId", bytes)
"""The 16-byte hash of an envelope."""
SessionId = NewType("SessionId", bytes)
"""A session: the 32-byte transcript hash of its handshake."""
PeerKey = NewType("PeerKey", bytes)
"""The 32-byte transport key of a host, a node's or a relay's; never a person's identity."""
RelayName = NewType("RelayName", bytes)
"""A relay as it is used, for us, for a contact or for a hidden one: `core.relays.Relay.mailbox`."""
QueueId = NewType("QueueId", bytes)
"""A queue at a relay: the hash of its public keys."""
InviteId = NewType("InviteId", bytes)
"""An invite."""

NOTES = ChatId(bytes(8))
"""The chat with oneself."""
NOBODY = ContactId(b"")
"""No contact: the sender of our own messages."""
NO_DEVICE = DeviceId(b"")
"""No device: whose queue it is where nobody knows it."""
MailOwner = DeviceId | InviteId
"""Whose queues at relays, and what goes through them."""
InputSource = ContactId | RelayName
"""From where something came that is to be committed: by a link with a contact, or by a relay."""


def first_device(contact: ContactId) -> DeviceId:
    """Return the first device of a contact, which has the contact's id. As yet everybody has one: whoever calls this
    serves that one only.
    """
    return DeviceId(contact)


def contact_of(device: MailOwner) -> ContactId:
    """Return whose first device this is; the id of nobody where it is an invite."""
    return ContactId(device)


def direct_chat(contact: ContactId) -> ChatId:
    """Return the chat with one contact, which has the contact's id."""
    return ChatId(contact)


def direct_contact(chat: ChatId) -> ContactId:
    """Return whose direct chat this is."""
    return ContactId(chat)
