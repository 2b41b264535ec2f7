"""Takes in what relays and contacts tell of relays.

A descriptor is signed by the relay that it describes, so nobody else can say where that one is. Of a relay that the
user chose it can add addresses and nothing more: it stays one of ours, is reached at the addresses that the user gave
too, and no other relay takes its place. What a contact from whom we hide our address tells is not used: a relay that
only we were told of would see from where we come.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from p2pchat.core import relay_cache
from p2pchat.core.codec import array, decode, encode, uint
from p2pchat.core.descriptors import PRIVATE, is_circuit, open_descriptor
from p2pchat.core.ids import ContactId, PeerKey
from p2pchat.core.relay_cache import KnownRelay
from p2pchat.engine.contacts import known_relays, own_relays
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import CannotOpen
from p2pchat.lib.times import DAY_MS, HOUR_MS
from p2pchat.store import facts
from p2pchat.store import known_relays as store_known_relays
from p2pchat.store import queues as store_queues
from p2pchat.store import relays as store_relays
from p2pchat.store.contacts import Contact
from p2pchat.store.facts import Fact

MAX_TOLD_A_DAY = 16
"""New descriptors that one contact may tell of in a day."""
CHANGES_AFTER_MS = HOUR_MS
"""How long after its last change a relay of ours may change its addresses again: all contacts are told each time."""


def told_by_relay(tx: Transaction, source: PeerKey, descriptors: Sequence[bytes]) -> None:
    """Take in what a relay that answers has told: of itself, and of others."""
    changed = store_known_relays.worked(tx.db, source, tx.now)
    for raw in descriptors:
        changed |= _take(tx, source, raw)
    store_known_relays.remove(tx.db, relay_cache.outlived(known_relays.others(tx.db)))
    if changed:
        own_relays.tell_net(tx)


def told_by_contact(tx: Transaction, contact: Contact, descriptors: Sequence[bytes]) -> None:
    """Take in what a contact tells of relays, as much of it as may be told in a day."""
    changed = False
    for raw in () if contact.hidden else descriptors:
        if _may_tell(tx, contact.id):
            changed |= _take(tx, contact.id, raw)
    if changed:
        own_relays.tell_net(tx)


def _may_tell(tx: Transaction, contact: ContactId) -> bool:
    """Return whether a contact may tell of one more relay today, and count it if so."""
    kept = facts.get(tx.db, contact, Fact.RELAYS_TOLD)
    since, count = (tx.now, 0) if kept is None else _COUNTED(decode(kept, len(kept)))
    if not tx.recent(since, DAY_MS):
        since, count = tx.now, 0
    if count >= MAX_TOLD_A_DAY:
        return False
    facts.put(tx.db, contact, Fact.RELAYS_TOLD, encode([since, count + 1]))
    return True


_COUNTED = array(uint(1 << 53), uint(1 << 16))


def _take(tx: Transaction, source: bytes, raw: bytes) -> bool:
    """Keep a descriptor if it is good, newer, and there is room; return whether anything has changed."""
    try:
        descriptor = open_descriptor(raw)
    except CannotOpen:
        return False
    if not descriptor.holds(tx.now) or tx.net.mailboxes.is_us(descriptor.relay):
        return False
    known = store_known_relays.get(tx.db, descriptor.relay)
    if known is not None and known.descriptor.sequence >= descriptor.sequence:
        return False
    chosen = store_relays.all(tx.db)
    ours = next((row for row in chosen if row.peer == descriptor.relay), None)
    beside = [address for row in ([ours] if ours is not None else chosen) for address in row.addresses]
    direct = [address for address in descriptor.addresses if not is_circuit(address)]
    addresses = tx.net.mailboxes.packed(direct, beside)
    new = KnownRelay(descriptor, raw, addresses, source, tx.now)
    if ours is not None:
        if known is not None and tx.recent(known.heard_at, CHANGES_AFTER_MS):
            return False
        _keep(tx, known, replace(new, worked_at=tx.now))
        own_relays.moved(tx, ours, addresses)
        return True
    if descriptor.flags & PRIVATE or not addresses:
        return False
    if known is None:
        gone = relay_cache.make_room(known_relays.others(tx.db), new)
        if gone is None:
            return False
        store_known_relays.remove(tx.db, gone)
    _keep(tx, known, new)
    if known is None or known.addresses != addresses:
        tx.mail_of.update(dict.fromkeys(store_queues.owners_at(tx.db, new.relay)))
    return True


def _keep(tx: Transaction, known: KnownRelay | None, new: KnownRelay) -> None:
    store_known_relays.put(tx.db, new if known is None else replace(new, worked_at=max(new.worked_at, known.worked_at)))
