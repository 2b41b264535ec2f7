"""Contacts as relays: being a relay for them, and using theirs.

A contact who dials this node at a public address, from another network, proves that it can be reached from the
internet, so no extra dialling is needed to find that out. The user is then asked, once. After a yes the node runs a
small relay until they say no, and contacts from whom no address is hidden are told its address and token.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import trio

from p2pchat.core.codec import decode, encode
from p2pchat.core.contents import ContactRelay
from p2pchat.core.contents.relay import NO_RELAY
from p2pchat.core.ids import ContactId, MessageId, PeerKey
from p2pchat.core.primitives import KEY_BYTES
from p2pchat.engine.contacts import address_updates, news, own_relays
from p2pchat.engine.delivery import outbound
from p2pchat.engine.runtime import settings
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import NotNow
from p2pchat.ports import Relay
from p2pchat.store import contacts as store_contacts
from p2pchat.store import facts, meta
from p2pchat.store import invites as store_invites
from p2pchat.store import relays as store_relays
from p2pchat.store.contacts import Contact, ContactState
from p2pchat.store.database import Database
from p2pchat.store.facts import Fact

_FOUND, _TOKEN = "found_at", "relay_token"
_WHAT = (
    "A relay stores encrypted messages for people who are offline, 256 MB at most, and connects people "
    "who cannot reach each other directly. It cannot read any of them. Its address is given to your "
    "contacts, and through them to the people who write to them."
)
_HIDING = (
    " You hide your address from somebody. They are not told about the relay, but may learn from others "
    "that there is one at this address."
)


class RelayOffer:
    """Whether this node should be a relay for its contacts. `changed` is set when the answer changes."""

    def __init__(self, wanted: bool) -> None:
        self.wanted = wanted
        self.changed = trio.Event()

    def answer(self, wanted: bool) -> None:
        """Start or stop serving: the user's answer is on disk."""
        if wanted != self.wanted:
            self.wanted = wanted
            self.changed.set()
            self.changed = trio.Event()


# --- being one ------------------------------------------------------------------------------------------------------


def found(tx: Transaction, address: bytes) -> None:
    """Note that a contact has reached us from outside at this packed address."""
    if meta.get(tx.db, _FOUND) != address:
        meta.put(tx.db, _FOUND, address)


def reachable(db: Database) -> bool:
    """Return whether anybody has reached us from outside."""
    return meta.get(db, _FOUND) is not None


def found_at(tx: Transaction) -> str:
    """Return the address at which a contact has reached us from outside last, as a multiaddr, or ""."""
    address = meta.get(tx.db, _FOUND)
    if address is None:
        return ""
    return tx.net.mailboxes.address_of(Relay(PeerKey(bytes(KEY_BYTES)), (address,)))  # whose it is does not matter


def is_asked(db: Database) -> bool:
    """Return whether a person is to be asked: this node could be a relay, and nobody has said yes or no."""
    return reachable(db) and settings.relay_for_contacts(db) is None


def state(db: Database) -> str:
    """Return one line that says whether this node is a relay for its contacts."""
    if is_asked(db):
        return "Your contacts can reach this node from outside, so it could be a relay for them."
    if not settings.relay_for_contacts(db):
        return "This node is not a relay."
    if not reachable(db):
        return "This node is a relay for your contacts, but nobody has reached it from outside yet."
    return "This node is a relay for your contacts."


def notice(db: Database) -> str:
    """Return the same with what it means and what it reveals."""
    return f"{state(db)} {_WHAT}{_HIDING if _hides(db) else ''}"


def _hides(db: Database) -> bool:
    return bool(store_contacts.hidden(db)) or any(row.hidden for row in store_invites.open_invites(db))


def answered(tx: Transaction, offering: RelayOffer, answer: bool) -> None:
    """Save the user's yes or no. Each yes after a no makes a new token, so that the old one is no longer valid."""
    if answer and not settings.relay_for_contacts(tx.db):
        meta.put(tx.db, _TOKEN, tx.random(KEY_BYTES).hex().encode("ascii"))
    settings.set_relay_for_contacts(tx.db, answer)
    settle(tx)
    tx.after(offering.answer, answer)


def token(db: Database) -> bytes:
    """Return the token that opens our mailbox as a relay. Contacts are told, and tell those who shall deposit for
    them.
    """
    return meta.get(db, _TOKEN) or b""


def tell_addresses(tx: Transaction, contact_ids: Collection[ContactId], addresses: address_updates.Untold) -> None:
    """Tell these contacts where to reach us now, as ourselves and as a relay."""
    address_updates.tell_addresses(tx, addresses, contact_ids)
    settle(tx, contact_ids)


def settle(tx: Transaction, of: Collection[ContactId] | None = None) -> None:
    """Tell these contacts, or all, what they do not know yet about our relay. Stop using the relays of people who are
    no longer contacts, or from whom we hide our address.
    """
    wanted = settings.relay_for_contacts(tx.db)
    ways = tx.net.ways(relayed=False) if wanted else []
    ours = Relay(ways[0][0], tuple(address for _, address in ways), token(tx.db)) if ways else None
    known = store_contacts.all(tx.db) if of is None else [tx.contact(contact_id) for contact_id in of]
    for contact in filter(None, known):
        at_ease = contact.state == ContactState.CONTACT and not contact.hidden
        if not at_ease:
            _leave(tx, contact)
        if contact.state == ContactState.CONTACT and wanted is not None and (ours or not wanted or contact.hidden):
            _tell(tx, contact, ContactRelay((ours if at_ease else None) or NO_RELAY))


def _tell(tx: Transaction, contact: Contact, news: ContactRelay) -> None:
    encoded = encode(news.encode())
    if encoded != (facts.get(tx.db, contact.id, Fact.RELAY_TOLD) or encode(ContactRelay(NO_RELAY).encode())):
        facts.put(tx.db, contact.id, Fact.RELAY_TOLD, encoded)
        outbound.queue(tx, contact, news)


# --- using theirs ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Offered:
    """The relay that a contact offers; without an address it is offered no more. `taken`: we use it."""

    relay: Relay
    taken: bool = False


def offered(db: Database, contact_id: ContactId) -> Offered | None:
    """Return what a contact has told about being a relay, or None."""
    kept = facts.get(db, contact_id, Fact.RELAY_OFFERED)
    if kept is None:
        return None
    peer, addresses, word, taken = decode(kept, len(kept))
    return Offered(Relay(peer, tuple(addresses), word), taken)


def offers(db: Database) -> list[tuple[Contact, Offered]]:
    """Return the contacts who are relays for us, with what they told."""
    known = [
        (contact, offered(db, contact.id))
        for contact in store_contacts.all(db)
        if contact.state == ContactState.CONTACT
    ]
    return [(contact, theirs) for contact, theirs in known if theirs is not None and theirs.relay.addresses]


def told(tx: Transaction, contact: Contact, message_id: MessageId, theirs: Relay) -> None:
    """Note that a contact offers a relay, or does so no more. If we use it, follow the change; the first time, tell the
    user.
    """
    if not news.is_new(tx, contact, Fact.TOLD_RELAY, message_id):
        return
    before = offered(tx.db, contact.id)
    if before is None and theirs.addresses:
        warning = f"{contact.name} offers to be a relay for you. To use it, run `p2pchat relays add` with this name."
        tx.event("node", warning=warning)
    goes_on = False
    if before is not None and before.taken and _is_used(tx.db, before.relay):
        goes_on = bool(theirs.addresses) and theirs.peer == before.relay.peer
        if goes_on:
            own_relays.use(tx, theirs)
        else:
            own_relays.leave(tx, before.relay.peer)
    _keep(tx, contact, Offered(theirs, goes_on))


def take(tx: Transaction, contact: Contact) -> Relay:
    """Use a contact's relay. Raises NotNow if it is not offered, is already in use, or would see the address that we
    hide.
    """
    known = offered(tx.db, contact.id)
    if contact.state != ContactState.CONTACT or known is None or not known.relay.addresses:
        raise NotNow(f"{contact.name} does not offer you a relay", hint="They can offer one with `p2pchat offer yes`.")
    if contact.hidden:
        hint = "`p2pchat contacts show` tells it to them."
        raise NotNow(f"You hide your address from {contact.name}, and their relay would see it", hint=hint)
    if not known.taken and _is_used(tx.db, known.relay):  # it may be somebody else's, and that one's token another
        raise NotNow(f"{contact.name}'s relay is one of yours already")
    own_relays.use(tx, known.relay)
    _keep(tx, contact, replace(known, taken=True))
    return known.relay


def leave(tx: Transaction, peer: PeerKey) -> None:
    """Stop using a relay, whosever it is."""
    own_relays.leave(tx, peer)
    for contact, known in offers(tx.db):
        if known.relay.peer == peer:
            _keep(tx, contact, replace(known, taken=False))


def _leave(tx: Transaction, contact: Contact) -> None:
    known = offered(tx.db, contact.id)
    if known is not None and known.taken and _is_used(tx.db, known.relay):
        own_relays.leave(tx, known.relay.peer)
        _keep(tx, contact, replace(known, taken=False))


def _is_used(db: Database, relay: Relay) -> bool:
    return any(row.peer == relay.peer for row in store_relays.all(db))


def _keep(tx: Transaction, contact: Contact, known: Offered) -> None:
    relay = known.relay
    value = encode([relay.peer, list(relay.addresses), relay.token, known.taken])
    facts.put(tx.db, contact.id, Fact.RELAY_OFFERED, value)
