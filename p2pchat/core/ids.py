"""The types of ids. All are bytes, and none can be used in place of another.

For a type checker each is a type of its own; at run time it is plain bytes, and only its creation costs a call. Ids are
created where one is read (from a row, a frame, the text of a face) or computed, and nowhere else.
"""

from __future__ import annotations

from typing import NewType

ContactId = NewType("ContactId", bytes)
"""A person: 8 random bytes, which mean something in this profile only."""
DeviceId = NewType("DeviceId", bytes)
"""A device of a contact, 8 bytes; see `first_device`."""
ChatId = NewType("ChatId", bytes)
"""A chat, 8 bytes; see `direct_chat`."""
MessageId = NewType("MessageId", bytes)
"""A message: 16 bytes that begin with its time. It is the same for everybody, so whoever has the message can reuse its
id."""
EnvelopeId = NewType("EnvelopeId", bytes)
"""The 16-byte hash of an envelope."""
SessionId = NewType("SessionId", bytes)
"""A session: the 32-byte transcript hash of its handshake."""
PeerKey = NewType("PeerKey", bytes)
"""The 32-byte transport key of a host, a node's or a relay's; never a person's identity."""
RelayName = NewType("RelayName", bytes)
"""A relay in one way of using it (for us, for a contact, or for a hidden one): `core.relays.Relay.mailbox`."""
QueueId = NewType("QueueId", bytes)
"""A queue at a relay: the hash of its public keys."""
InviteId = NewType("InviteId", bytes)
"""An invite."""
FileId = NewType("FileId", bytes)
"""A file between its two ends: 16 bytes that commit to its key and its bytes."""
BlobName = NewType("BlobName", bytes)
"""The 32-byte hash of a blob of a file."""
ChannelId = NewType("ChannelId", bytes)
"""A channel: the 32-byte hash of its public key."""
WriterKey = NewType("WriterKey", bytes)
"""The public key that signs one feed of a channel: the channel's own, or that of another writer."""
GroupId = NewType("GroupId", bytes)
"""A group, the same for everybody: the 32-byte id of its first event."""
MemberId = NewType("MemberId", bytes)
"""A member of one group, 8 bytes; see `core.groups.roles.member_id`."""
EventId = NewType("EventId", bytes)
"""An event of a membership log: the 32-byte hash of what its author signed."""
EpochId = EventId
"""An epoch of a group: the id of the event that made it."""
ItemId = NewType("ItemId", bytes)
"""An item of a group: the 32-byte hash of its sealed bytes."""

NOTES = ChatId(bytes(8))
"""The chat with oneself."""
NOBODY = ContactId(b"")
"""No contact: the sender of our own messages."""
NO_DEVICE = DeviceId(b"")
"""No device: the owner of a queue that is nobody's."""
MailOwner = DeviceId | InviteId
"""The owner of queues at relays: a device, or an invite."""
InputSource = ContactId | RelayName
"""The source of an input: a link with a contact, or a relay."""


def first_device(contact: ContactId) -> DeviceId:
    """Return the first device of a contact, which has the contact's id. As yet everybody has only one device; a caller
    of this handles only that one.
    """
    return DeviceId(contact)


def contact_of(device: MailOwner) -> ContactId:
    """Return the contact whose first device this is; a meaningless id for an invite."""
    return ContactId(device)


def direct_chat(contact: ContactId) -> ChatId:
    """Return the chat with one contact, which has the contact's id."""
    return ChatId(contact)


def direct_contact(chat: ChatId) -> ContactId:
    """Return the contact of a direct chat."""
    return ContactId(chat)


def sender_of(member: MemberId) -> ContactId:
    """Return the sender of what a member writes in a group: there, the member's id takes the place of a contact's."""
    return ContactId(member)


def member_of(sender: ContactId) -> MemberId:
    """Return the member of a group who is the sender of a message there."""
    return MemberId(sender)
