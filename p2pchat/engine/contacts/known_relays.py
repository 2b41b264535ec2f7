"""The relays that are known from descriptors: which are tried when none of ours answers, and which are passed on.

They are fallbacks, not homes: nothing of ours is stored at them, and hidden contacts are not reached through them.
"""

from __future__ import annotations

from collections.abc import Sequence

from p2pchat.core import relay_cache
from p2pchat.core.descriptors import PRIVATE, Descriptor, is_circuit
from p2pchat.core.ids import PeerKey
from p2pchat.core.relay_cache import KnownRelay
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.ports import EntryRelay, Relay
from p2pchat.store import known_relays as store_known_relays
from p2pchat.store import relays as store_relays
from p2pchat.store.database import Database

MAX_TOLD = 4
"""Descriptors that a contact is told at a time."""
MAX_TOLD_BYTES = 1000
"""Their bytes together, so that the content stays in the smallest envelope."""


def fallbacks(tx: Transaction) -> list[Relay]:
    """Return relays that others told of, to try while none of ours answers, best first."""
    known = [row for row in others(tx.db) if row.descriptor.holds(tx.now)]
    return [Relay(row.relay, row.addresses, chosen=False) for row in relay_cache.fallbacks(known)]


def entries(tx: Transaction) -> list[EntryRelay]:
    """Return the relays that may be the first of two hops though the user did not choose them, best first: those that a
    relay of the user's choice has told of. What a contact has told of could be run by whoever runs the second hop.

    The order changes little, so that few of them ever see where we come from.
    """
    ours = {row.peer for row in store_relays.all(tx.db)}
    known = [row for row in others(tx.db) if row.descriptor.holds(tx.now) and row.told_by in ours]
    known.sort(key=lambda row: (not row.worked_at, row.heard_at))
    return [EntryRelay(Relay(row.relay, row.addresses, chosen=False), PeerKey(row.told_by)) for row in known]


def circuits(tx: Transaction) -> dict[PeerKey, tuple[str, ...]]:
    """Return the circuits that lead to relays through others, as they say themselves, as text."""
    known = [row.descriptor for row in store_known_relays.all(tx.db) if row.descriptor.holds(tx.now)]
    by_relay = {descriptor.relay: tuple(filter(is_circuit, descriptor.addresses)) for descriptor in known}
    return {relay: named for relay, named in by_relay.items() if named}


def others(db: Database) -> list[KnownRelay]:
    """Return the relays that are known from descriptors and that the user did not choose."""
    ours = {row.peer for row in store_relays.all(db)}
    return [row for row in store_known_relays.all(db) if row.relay not in ours]


def to_tell(tx: Transaction, about: Sequence[PeerKey]) -> tuple[bytes, ...]:
    """Return the descriptors that a contact is told: of the relays `about` which they are told anyway, and of a few
    others. What only contacts have told us is not passed on: it could have been made to find out who knows whom.
    """
    ours = {row.peer for row in store_relays.all(tx.db)}
    known = [row for row in store_known_relays.all(tx.db) if row.descriptor.holds(tx.now)]
    public = [row for row in known if not row.descriptor.flags & PRIVATE]
    first = [row for row in public if row.relay in about]
    more = [row for row in public if row.relay not in about and (row.relay in ours or row.by_relay)]
    told: list[bytes] = []
    for row in [*first, *sorted(more, key=lambda row: tx.random(8))]:
        if len(told) < MAX_TOLD and sum(map(len, told)) + len(row.raw) <= MAX_TOLD_BYTES:
            told.append(row.raw)
    return tuple(told)


def tidy(tx: Transaction) -> None:
    """Forget the descriptors that have expired, and the private ones of relays that are no longer ours."""
    gone = [row.relay for row in others(tx.db) if _is_over(row.descriptor, tx.passed)]
    store_known_relays.remove(tx.db, gone)


def _is_over(descriptor: Descriptor, passed: int) -> bool:
    return 1000 * descriptor.until <= passed or bool(descriptor.flags & PRIVATE)
