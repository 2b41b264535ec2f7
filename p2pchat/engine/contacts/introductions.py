"""What first messages say about their senders, kept until the user has answered the request."""

from __future__ import annotations

from dataclasses import dataclass

from p2pchat.core.codec import array, binary, decode, encode
from p2pchat.core.content import MESSAGE_ID
from p2pchat.core.contents import ContactProfile
from p2pchat.core.ids import ContactId, MessageId, PeerKey, first_device
from p2pchat.core.invite import ROLE_NODE
from p2pchat.core.primitives import KEY_BYTES
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.store import devices as store_devices
from p2pchat.store import facts
from p2pchat.store.facts import Fact

_SHAPE = array(binary(KEY_BYTES), binary(MESSAGE_ID), ContactProfile.decode)


@dataclass(frozen=True, slots=True, repr=False)
class Introduction:
    """What a first message says about its sender: the device key, and the profile with its content's id."""

    device: bytes
    message_id: MessageId
    profile: ContactProfile


def keep(tx: Transaction, contact_id: ContactId, introduction: Introduction) -> None:
    """Save an introduction, in place of an earlier one."""
    value = encode([introduction.device, introduction.message_id, introduction.profile.encode()])
    facts.put(tx.db, contact_id, Fact.INTRODUCTION, value)


def kept(tx: Transaction, contact_id: ContactId) -> Introduction | None:
    """Return the introduction that waits for an answer, or None."""
    packed = facts.get(tx.db, contact_id, Fact.INTRODUCTION)
    if packed is None:
        return None
    return Introduction(*_SHAPE(decode(packed, len(packed))))


def forget(tx: Transaction, contact_id: ContactId) -> None:
    """Delete the introduction of a contact whose request was answered."""
    facts.remove(tx.db, contact_id, Fact.INTRODUCTION)


def named_hosts(tx: Transaction, contact_id: ContactId) -> set[PeerKey]:
    """Return the transport keys that a contact has named as its own, in a session or in the first message of one."""
    known = {way.peer for way in store_devices.ways(tx.db, first_device(contact_id)) if way.role == ROLE_NODE}
    introduction = kept(tx, contact_id)
    return known if introduction is None else known | {peer for peer, _ in introduction.profile.ways}
