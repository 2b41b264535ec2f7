"""The relays that store envelopes for us and through which we can be reached. The net knows their state."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from p2pchat.core.ids import ContactId, PeerKey
from p2pchat.engine.contacts import known_relays, news
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import NotNow, UsageError
from p2pchat.ports import Relay, RelayHealth
from p2pchat.store import contacts as store_contacts
from p2pchat.store import relays as store_relays
from p2pchat.store.relays import RelayRow

MAX_RELAYS = 8
"""The most relays in the list. Two are used at a time, and the others if these fail."""
MAX_ADDRESSES = 4
TOLD_AT_ONCE = 32
"""Contacts told of a change in one transaction: some 30 ms, between which the user's calls get their turn."""


def use(tx: Transaction, relay: Relay, *, kept: bool = True) -> None:
    """Use a relay. If it is in the list already, this address and this token are tried first. Raises NotNow if there
    are too many, or if this contradicts an entry that works.
    """
    rows = {row.peer: row for row in store_relays.all(tx.db)}
    known = rows.get(relay.peer)
    if known is None and len(rows) >= MAX_RELAYS:
        raise NotNow(f"There are {len(rows)} relays already", hint="Remove one first: `p2pchat relays remove`.")
    addresses = relay.addresses
    if known is not None:
        addresses += tuple(address for address in known.addresses if address not in addresses)
        kept |= known.kept
    row = RelayRow(relay.peer, addresses[:MAX_ADDRESSES], relay.token, kept, tx.now)
    if known is not None:
        row = dataclasses.replace(
            row, described=known.described, moved=known.moved and row.addresses == known.addresses
        )
    store_relays.put(tx.db, row)
    if known is None or dataclasses.replace(known, added_at=tx.now) != row:  # else nothing changes for any contact
        _changed(tx)


def add(tx: Transaction, relay: Relay, health: RelayHealth | None, *, replace: bool) -> None:
    """Use a relay that the user named. Of an entry that is there already, nothing that works is replaced, unless
    `replace`.

    health: the relay's state now, if known. Raises NotNow.
    """
    known = next((row for row in store_relays.all(tx.db) if row.peer == relay.peer), None)
    if known is None:
        use(tx, relay)
    elif replace:
        store_relays.put(tx.db, RelayRow(relay.peer, relay.addresses, relay.token, True, tx.now))
        _changed(tx)
    else:
        state = "connecting" if health is None else health.state
        if known.token and not relay.token:
            raise NotNow("This relay is in your list with a token, which this address lacks", hint=_REPLACE)
        if known.token != relay.token and known.token and state != "refused":
            raise NotNow("This relay is in your list with another token, which works", hint=_REPLACE)
        if state == "connected" and not (set(relay.addresses) <= set(known.addresses) and relay.token == known.token):
            raise NotNow(
                "This relay is in your list, and answers at another address or with another token", hint=_REPLACE
            )
        use(tx, relay)


_REPLACE = "Nothing was changed; `p2pchat relays add ADDRESS --replace` replaces the entry."


def leave(tx: Transaction, peer: PeerKey) -> None:
    """Stop using a relay. What contacts still deposit there is collected for a while. Raises UsageError if it is not in
    the list.
    """
    if peer not in {row.peer for row in store_relays.all(tx.db)}:
        raise UsageError("That is not one of your relays", hint="`p2pchat relays` lists them.")
    store_relays.remove(tx.db, peer)
    _changed(tx)


def begin(tx: Transaction, for_this_run: Sequence[Relay]) -> None:
    """At the start, stop using the relays of the last run only, and use those of this run."""
    peers = {relay.peer for relay in for_this_run}
    for row in store_relays.all(tx.db):
        if not row.kept and row.peer not in peers:
            leave(tx, row.peer)
    for relay in for_this_run:
        use(tx, relay, kept=False)
    tell_net(tx)


def moved(tx: Transaction, row: RelayRow, described: tuple[bytes, ...]) -> None:
    """Reach a relay of ours at the packed addresses that it gives for itself too. It has moved if it names none of
    those that the user gave, unless that was a name: whoever owns a name can say where it leads.
    """
    named = not tx.net.mailboxes.address_of(Relay(row.peer, row.addresses)).startswith("/ip")
    has_moved = bool(described) and not named and not set(described) & set(row.addresses)
    after = dataclasses.replace(row, described=described[:MAX_ADDRESSES], moved=has_moved)
    store_relays.put(tx.db, after)
    if after.reached_at != row.reached_at:
        _changed(tx)


def tell_net(tx: Transaction) -> None:
    """Tell the net which relays are ours, and which ones to try while none of those answers."""
    ours = [Relay(row.peer, row.reached_at, row.token) for row in store_relays.all(tx.db)]
    tx.after(tx.net.use_relays, ours, known_relays.fallbacks(tx), known_relays.entries(tx), known_relays.circuits(tx))


def _changed(tx: Transaction) -> None:
    tx.mail_changed = tx.channels_changed = True
    tell_net(tx)
    _tell(tx, store_contacts.latest_first(tx.db))


def _tell(tx: Transaction, contact_ids: Sequence[ContactId]) -> None:
    """Tell these contacts where we collect now, a few in this transaction and the others later. (What is lost with the
    process is made up for: the start and each hour go through all contacts.)"""
    for contact_id in contact_ids[:TOLD_AT_ONCE]:
        contact = tx.contact(contact_id)
        if contact is not None:
            news.tell_queues(tx, contact)
    if left := contact_ids[TOLD_AT_ONCE:]:
        tx.later(None, _tell, left)
