"""What first messages say about their senders, kept until a person has answered the request."""

from __future__ import annotations

from dataclasses import dataclass

from p2pchat.core import content as contents
from p2pchat.core.codec import array, binary, decode, encode
from p2pchat.core.content import Profile
from p2pchat.core.invite import ROLE_NODE
from p2pchat.core.primitives import KEY
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.store import contacts as store_contacts
from p2pchat.store import meta

_SHAPE = array(binary(KEY), binary(contents.MESSAGE_ID), contents.PAYLOADS[contents.PROFILE])


@dataclass(frozen=True, slots=True, repr=False)
class Introduction:
    """What a first message says about its sender: the device key, and the profile with its content's id."""

    device: bytes
    message_id: bytes
    profile: Profile


def keep(tx: Transaction, contact_id: bytes, introduction: Introduction) -> None:
    """Keep an introduction, in place of one that was kept before."""
    profile = contents.profile_payload(introduction.profile)
    meta.put(tx.db, _key(contact_id), encode([introduction.device, introduction.message_id, profile]))


def kept(tx: Transaction, contact_id: bytes) -> Introduction | None:
    """The introduction that waits for an answer."""
    packed = meta.get(tx.db, _key(contact_id))
    if packed is None:
        return None
    device, message_id, payload = _SHAPE(decode(packed, len(packed)))
    return Introduction(device, message_id, contents.profile_of(payload))


def forget(tx: Transaction, contact_id: bytes) -> None:
    """The request was answered."""
    meta.remove(tx.db, _key(contact_id))


def named_hosts(tx: Transaction, contact_id: bytes) -> set[bytes]:
    """The transport keys that a contact has named as its own, in a session or in the first message of one."""
    known = {way.peer for way in store_contacts.ways(tx.db, contact_id) if way.role == ROLE_NODE}
    introduction = kept(tx, contact_id)
    return known if introduction is None else known | {peer for peer, _ in introduction.profile.ways}


def _key(contact_id: bytes) -> str:
    return f"introduction {contact_id.hex()}"
