"""Our own queues for a contact: one at each of two relays, renewed weekly and announced whenever they change.

They are at our own relays. A user without a relay uses those of the contact, for that contact alone, so that no relay
which the user did not choose learns of anybody else. A contact from whom we hide our address gets no queues at relays
that we did not choose: they would see us connect.

The relays that a contact names make us connect to them, so the number of new places is limited per day. A list beyond
the limit waits, the newest one only, until it is allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from p2pchat.core.codec import array, decode, encode, uint
from p2pchat.core.contents.queues import AnnouncedQueue, Queues
from p2pchat.core.descriptors import networks
from p2pchat.core.ids import ContactId, MailOwner, PeerKey, first_device
from p2pchat.core.invite import ROLE_RELAY, Invite, decode_invite
from p2pchat.core.primitives import KEY_BYTES, sign_public
from p2pchat.core.relays import own_relay
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.lib.times import DAY_MS, HOUR_MS
from p2pchat.ports import Relay
from p2pchat.store import facts
from p2pchat.store import queues as store_queues
from p2pchat.store import relays as store_relays
from p2pchat.store.contacts import Contact, ContactState
from p2pchat.store.facts import Fact
from p2pchat.store.queues import OwnQueueRow, TheirQueueRow
from p2pchat.store.relays import RelayRow

MAX_RELAYS = 2
MAX_NEW_PLACES = 8
"""Relay addresses that one contact may name in a day: two of its own, and three more lists of as many."""
MAX_RETIRED_FOREIGN = 4
"""Retired queues for one contact, at relays that we did not choose, from which we still collect."""
RENEW_AFTER_MS = 7 * DAY_MS
READ_ON_MS = 14 * DAY_MS
USED_FOR_MS = 60 * DAY_MS
"""How long after its making a queue can still be used, in ms: a contact who has not heard of a newer one by then no
longer deposits there.
"""
LEAVE_AFTER_MS = HOUR_MS
"""A relay that has not answered for so long is skipped if there are others."""


@dataclass(frozen=True, slots=True)
class QueueSource:
    """Who a queue belongs to: a contact, one of our invites, the box of an invite we were given, or nobody."""

    kind: Literal["contact", "invite", "box", "nobody"]
    owner: MailOwner


def ours(tx: Transaction) -> list[Relay]:
    """Return our own relays in use, best first."""
    rows = store_relays.all(tx.db)
    best = sorted(rows, key=_dead(tx))[:MAX_RELAYS]  # a stable order: the one added first is first
    return [Relay(row.peer, row.reached_at, row.token) for row in rows if row in best]


def for_invite(tx: Transaction) -> list[Relay]:
    """Return the relays that an invite names, best first: of those that answer, two in different networks, since these
    have most likely two operators, and one of them at a wss address, where that can be had.
    """
    dead = _dead(tx)
    rows = sorted(store_relays.all(tx.db), key=dead)
    if not rows:
        return []
    first, *others = rows
    places = _networks(tx, first)
    second = min(others, key=lambda row: (dead(row), not places.isdisjoint(_networks(tx, row))), default=None)
    relays = [Relay(row.peer, row.reached_at, row.token) for row in (first, second) if row is not None]
    if not any(_is_wss(tx, relay.addresses[0], relay) for relay in relays):
        for place, relay in reversed(list(enumerate(relays))):
            web = [address for address in relay.addresses if _is_wss(tx, address, relay)]
            if web:
                relays[place] = replace(relay, addresses=tuple(dict.fromkeys((*web, *relay.addresses))))
                break
    return relays


def _dead(tx: Transaction) -> Callable[[RelayRow], bool]:
    """Return what tells whether a relay has not answered for long."""
    health = tx.net.mailboxes.relay_health()

    def dead(row: RelayRow) -> bool:
        known = health.get(own_relay(row.peer))
        return known is not None and known.state != "connected" and known.since + LEAVE_AFTER_MS <= tx.now

    return dead


def _text(tx: Transaction, peer: PeerKey, address: bytes) -> str:
    return tx.net.mailboxes.address_of(Relay(peer, (address,)))


def _networks(tx: Transaction, row: RelayRow) -> frozenset[str]:
    return networks(_text(tx, row.peer, address) for address in row.reached_at)


def _is_wss(tx: Transaction, address: bytes, relay: Relay) -> bool:
    return "/wss/" in _text(tx, relay.peer, address)


def relays_for(tx: Transaction, contact: Contact) -> list[Relay]:
    """Return the relays for the queues of a contact."""
    own = ours(tx)
    if own or contact.hidden:
        return own
    used = {
        row.relay: Relay(row.relay, (row.address,), row.token, chosen=False)
        for row in store_queues.theirs(tx.db, first_device(contact.id))
        if row.flags == 0 and row.until > tx.passed
    }
    if not used and contact.invite is not None:
        used = {relay.peer: relay for relay in of_invite(decode_invite(contact.invite))}
    return list(used.values())[:MAX_RELAYS]


def of_invite(invite: Invite) -> list[Relay]:
    """Return the relays that an invite names."""
    ways = [way for way in invite.ways if way.role == ROLE_RELAY]
    return [Relay(way.peer, (way.address,), way.token, chosen=False) for way in ways]


def refresh(tx: Transaction, contact: Contact) -> bool:
    """Update our queues for a contact; return whether the change has to be announced."""
    wanted = {relay.peer: relay for relay in relays_for(tx, contact)}
    changed = contact.hidden and _leave_foreign(tx, contact)
    known = {row.relay: row for row in store_queues.announced(tx.db, first_device(contact.id))}
    for peer, row in known.items():
        # one who waits for their answer cannot be told: the first message has named these
        aged = contact.state == ContactState.CONTACT and not tx.recent(row.made_at, RENEW_AFTER_MS)
        now = wanted.get(peer)
        if now is None or aged:
            store_queues.retire(tx.db, row, tx.now + READ_ON_MS)
            changed = True
        elif (row.addresses, row.token, row.chosen) != (now.addresses, now.token, now.chosen):
            store_queues.move(tx.db, row, now.addresses, now.token, chosen=now.chosen)
            del wanted[peer]
            changed = True
        else:
            del wanted[peer]
    for relay in wanted.values():
        store_queues.collect_from(tx.db, _new(tx, contact, relay))
        changed = True
    if changed:
        store_queues.drop(
            tx.db, store_queues.retired(tx.db, first_device(contact.id), chosen=False)[MAX_RETIRED_FOREIGN:]
        )
        tx.mail_of[first_device(contact.id)] = None
    return changed


def _leave_foreign(tx: Transaction, contact: Contact) -> bool:
    """Stop collecting for a contact at relays that we did not choose; return whether there was one."""
    chosen = {row.peer for row in store_relays.all(tx.db)}
    rows = [pair for pair in store_queues.own(tx.db, first_device(contact.id)) if not pair[1].chosen]
    gone = [(row.relay, qid) for qid, row in rows if row.relay not in chosen]
    store_queues.drop(tx.db, gone)
    return bool(gone)


def renew(tx: Transaction, contact: Contact) -> None:
    """Replace the queues for a contact at the next `refresh`, by queues that nobody has seen us collect from."""
    for row in store_queues.announced(tx.db, first_device(contact.id)):
        store_queues.retire(tx.db, row, tx.now + READ_ON_MS)


def _new(tx: Transaction, contact: Contact, relay: Relay) -> OwnQueueRow:
    put_seed = tx.random(KEY_BYTES)
    return OwnQueueRow(
        device=first_device(contact.id),
        invite=None,
        relay=relay.peer,
        addresses=relay.addresses,
        token=relay.token,
        fetch_seed=tx.random(KEY_BYTES),
        put=sign_public(put_seed),
        put_seed=put_seed,
        flags=0,
        made_at=tx.now,
        chosen=relay.chosen,
    )


def announced(tx: Transaction, contact: Contact) -> tuple[AnnouncedQueue, ...]:
    """Return what the contact is told about our queues."""
    return tuple(
        AnnouncedQueue(row.relay, row.addresses[0], row.token, row.fetch, row.put_seed, row.made_at + USED_FOR_MS)
        for row in store_queues.announced(tx.db, first_device(contact.id))
        if row.put_seed is not None
    )


def told(tx: Transaction, contact: Contact, queues: tuple[AnnouncedQueue, ...]) -> None:
    """Use the queues that a contact announces, and stop using those that are not in the list any more. A list that
    names too many new places in a day has to wait.
    """
    if not _may_name(tx, contact, queues):
        facts.put(tx.db, contact.id, Fact.QUEUES_PUT_OFF, encode(Queues(queues).encode()))
        return
    facts.remove(tx.db, contact.id, Fact.QUEUES_PUT_OFF)
    rows = [
        TheirQueueRow(
            first_device(contact.id),
            None,
            queue.relay,
            queue.address,
            queue.token,
            queue.fetch,
            queue.put_seed,
            flags=0,
            until=queue.until,
        )
        for queue in queues
        if queue.until > tx.passed and not tx.net.mailboxes.is_us(queue.relay)
    ]
    store_queues.deposit_no_more(tx.db, first_device(contact.id), 0, rows)
    for row in rows:
        store_queues.deposit_in(tx.db, row)
    tx.mail_of[first_device(contact.id)] = None


def _may_name(tx: Transaction, contact: Contact, queues: Sequence[AnnouncedQueue]) -> bool:
    """Return whether a contact may name these places today, and count them if so."""
    known = {
        (row.relay, row.address, row.token)
        for row in store_queues.theirs(tx.db, first_device(contact.id))
        if row.flags == 0
    }
    chosen = {row.peer for row in store_relays.all(tx.db)}
    named = {(queue.relay, queue.address, queue.token) for queue in queues if queue.relay not in chosen}
    new = len(named - known)
    if not new:
        return True
    kept = facts.get(tx.db, contact.id, Fact.RELAYS_NAMED)
    since, before = (tx.now, 0) if kept is None else _COUNTED(decode(kept, len(kept)))
    if not tx.recent(since, DAY_MS):
        since, before = tx.now, 0
    if before + new > MAX_NEW_PLACES:
        return False
    facts.put(tx.db, contact.id, Fact.RELAYS_NAMED, encode([since, before + new]))
    return True


_COUNTED = array(uint(1 << 53), uint(1 << 16))


def take_up(tx: Transaction) -> None:
    """Apply the lists that had to wait, as far as their contacts may name those places now."""
    for contact_id, value in facts.of_all(tx.db, Fact.QUEUES_PUT_OFF):
        contact = tx.contact(contact_id)
        if contact is None or contact.state != ContactState.CONTACT:
            facts.remove(tx.db, contact_id, Fact.QUEUES_PUT_OFF)
            continue
        told(tx, contact, Queues.decode(decode(value, len(value))).queues)


def leave(tx: Transaction, contact_id: ContactId) -> None:
    """Stop collecting from and depositing for this contact."""
    store_queues.collect_no_more(tx.db, device=first_device(contact_id))
    for flags in {row.flags for row in store_queues.theirs(tx.db, first_device(contact_id))}:
        store_queues.deposit_no_more(tx.db, first_device(contact_id), flags)
    for fact in (Fact.QUEUES_PUT_OFF, Fact.RELAYS_NAMED):
        facts.remove(tx.db, contact_id, fact)
    tx.mail_of[first_device(contact_id)] = None
