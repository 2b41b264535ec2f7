"""Reads from the store where we collect and where we deposit, for everybody or for the contacts that changed.

A relay that the user chose is contacted at the addresses that the user gave and those that the relay gives for itself,
whoever else names it. For any other relay we know only what it says of itself, and what a contact or an invite says;
that is used only for that contact's mail. We do not connect to such a
relay for a hidden contact: only a circuit through one of our own relays may lead there.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from p2pchat.core import mailbox
from p2pchat.core.ids import (
    NO_DEVICE,
    ContactId,
    InviteId,
    MailOwner,
    PeerKey,
    QueueId,
    contact_of,
    first_device,
)
from p2pchat.core.invite import ROLE_RELAY, decode_invite
from p2pchat.engine.delivery.queues import READ_ON_MS, QueueSource
from p2pchat.ports import OwnQueue, Relay
from p2pchat.store import contacts as store_contacts
from p2pchat.store import invites as store_invites
from p2pchat.store import known_relays as store_known_relays
from p2pchat.store import queues as store_queues
from p2pchat.store import relays as store_relays
from p2pchat.store.contacts import ACCEPTED, Contact
from p2pchat.store.database import Database
from p2pchat.store.queues import OwnQueueRow, TheirQueueRow
from p2pchat.store.relays import MAX_REACHED


@dataclass(frozen=True, slots=True)
class Inlet:
    """A queue that we collect from, by its name, at a relay."""

    relay: Relay
    qid: QueueId
    source: QueueSource
    queue: OwnQueue


@dataclass(frozen=True, slots=True)
class Outlet:
    """A queue that we deposit in. sure: we connect to its relay ourselves; otherwise only a circuit may lead there."""

    row: TheirQueueRow
    relay: Relay
    sure: bool = True


@dataclass(frozen=True, slots=True)
class MailboxQueues:
    """What the store says: our own relays by transport key, and by contact or invite the queues to collect from and to
    deposit in. whole: for everybody; otherwise only for the owners in it.
    """

    ours: Mapping[PeerKey, Relay]
    inlets: Mapping[MailOwner, Sequence[Inlet]]
    outlets: Mapping[MailOwner, Sequence[Outlet]]
    whole: bool


def ours(db: Database) -> dict[PeerKey, Relay]:
    """Return the relays that the user chose, by transport key."""
    return {row.peer: Relay(row.peer, row.reached_at, row.token) for row in store_relays.all(db)}


def read(db: Database, owners: Collection[MailOwner] | None = None) -> MailboxQueues:
    """Read the queues of these contacts and invites, or of everybody."""
    chosen, described = ours(db), store_known_relays.addresses(db)
    inlets: dict[MailOwner, list[Inlet]] = {}
    outlets: dict[MailOwner, list[Outlet]] = {}
    if owners is None:
        contacts = {contact.id: contact for contact in store_contacts.all(db)}
        hidden: Collection[MailOwner] = {
            *map(first_device, store_contacts.hidden(db)),
            *(row.id for row in store_invites.all(db) if row.hidden),
        }
        own, theirs = store_queues.own(db), store_queues.theirs(db)
    else:
        contacts = {
            contact.id: contact for id in owners if (contact := store_contacts.get(db, contact_of(id))) is not None
        }
        hidden = frozenset(id for id in owners if _is_hidden(db, contacts, id))
        own = [pair for id in owners for pair in store_queues.own(db, id)]
        theirs = [row for id in owners for row in store_queues.theirs(db, id)]
        for id in owners:
            inlets[id], outlets[id] = [], []

    for qid, row in own:
        inlet = _inlet(chosen, qid, row, hidden=_owner(row) in hidden)
        if inlet is not None:
            inlets.setdefault(_owner(row), []).append(inlet)
    for their in theirs:
        outlet = _outlet(chosen, their, described.get(their.relay, ()), hidden=their.owner in hidden)
        if outlet is not None:
            outlets.setdefault(their.owner, []).append(outlet)
    opened = {(row.device, row.relay) for row in theirs if row.flags == mailbox.STAMPED}
    for contact in contacts.values():
        if contact.invite is not None and contact.state in ACCEPTED:
            boxes = [box for box in _boxes(chosen, contact) if (first_device(contact.id), box.relay.peer) not in opened]
            inlets.setdefault(first_device(contact.id), []).extend(boxes)
    return MailboxQueues(chosen, inlets, outlets, owners is None)


def _is_hidden(db: Database, contacts: Mapping[ContactId, Contact], owner: MailOwner) -> bool:
    contact = contacts.get(contact_of(owner))
    if contact is not None:
        return contact.hidden
    invite = store_invites.get(db, InviteId(owner))
    return invite is not None and invite.hidden


def _owner(row: OwnQueueRow) -> MailOwner:
    return row.device or row.invite or NO_DEVICE


def _inlet(chosen: Mapping[PeerKey, Relay], qid: QueueId, row: OwnQueueRow, *, hidden: bool) -> Inlet | None:
    source = (
        QueueSource("invite", row.invite or NO_DEVICE) if row.device is None else QueueSource("contact", row.device)
    )
    relay = Relay(row.relay, row.addresses, row.token, chosen=row.chosen)
    used = _used(chosen, relay, source.owner, hidden=hidden)
    if hidden and not used.chosen:  # nothing of ours should lie there
        return None
    retired = 0 if row.read_until is None else max(1, row.read_until - READ_ON_MS)
    return Inlet(used, qid, source, OwnQueue(row.fetch_seed, row.put, row.flags, retired=retired))


def _outlet(
    chosen: Mapping[PeerKey, Relay], row: TheirQueueRow, described: Sequence[bytes], *, hidden: bool
) -> Outlet | None:
    """Return how to deposit in a queue. described: where the relay itself says that it is, which is tried too, except
    for a hidden contact.
    """
    ways = (row.address,) if hidden else tuple(dict.fromkeys((row.address, *described)))
    relay = Relay(row.relay, ways[:MAX_REACHED], row.token, chosen=row.device is None)
    used = _used(chosen, relay, row.owner, hidden=hidden)
    if hidden and not used.chosen:
        return Outlet(row, used, sure=False) if chosen else None
    return Outlet(row, used)


def _boxes(chosen: Mapping[PeerKey, Relay], contact: Contact) -> list[Inlet]:
    """Return the boxes in which an inviter may have left something for us."""
    assert contact.invite is not None
    invite = decode_invite(contact.invite)
    if invite.writer is None:  # no relay, or made before boxes had a writer
        return []
    box = OwnQueue(mailbox.invite_box(invite.secret), invite.writer, mailbox.BOX)
    boxes = []
    for way in invite.ways:
        if way.role == ROLE_RELAY:
            relay = Relay(way.peer, (way.address,), way.token, chosen=False)
            used = _used(chosen, relay, first_device(contact.id), hidden=contact.hidden)
            if used.chosen or chosen or not contact.hidden:
                boxes.append(Inlet(used, box.queue.id, QueueSource("box", first_device(contact.id)), box))
    return boxes


def _used(chosen: Mapping[PeerKey, Relay], relay: Relay, owner: MailOwner, *, hidden: bool) -> Relay:
    """Return how a relay is used for a contact or an invite."""
    known = chosen.get(relay.peer, relay)
    return replace(known, hidden=hidden, contact=owner if hidden and not known.chosen else None)
