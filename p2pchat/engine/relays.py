"""Which relays keep envelopes for us and lend us circuits to be reached by. How it stands with them, the net knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace as changed

from p2pchat.engine import people
from p2pchat.engine.ports import Relay, RelayHealth
from p2pchat.engine.turn import Turn
from p2pchat.errors import NotNow, UsageError
from p2pchat.store import contacts as store_contacts
from p2pchat.store import relays as store_relays
from p2pchat.store.relays import RelayRow

MOST_RELAYS = 8
"""Two are used at a time; the others are there for when these fail."""
MOST_ADDRESSES = 4


def use(turn: Turn, relay: Relay, *, kept: bool = True) -> None:
    """Use a relay; one that is there already is reached by this address first, with this token."""
    rows = {row.peer: row for row in store_relays.all(turn.db)}
    known = rows.get(relay.peer)
    if known is None and len(rows) >= MOST_RELAYS:
        raise NotNow(f"There are {len(rows)} relays already", hint="Remove one first: `p2pchat relays remove`.")
    addresses = relay.addresses
    if known is not None:
        addresses += tuple(address for address in known.addresses if address not in addresses)
        kept |= known.kept
    row = RelayRow(relay.peer, addresses[:MOST_ADDRESSES], relay.token, kept, turn.now)
    store_relays.put(turn.db, row)
    if known is None or changed(known, added_at=turn.now) != row:  # else nothing changes for any contact
        _changed(turn)


def add(turn: Turn, relay: Relay, health: RelayHealth | None, *, replace: bool) -> None:
    """Use a relay that a person named. Of one that is there already nothing that works is given up, unless `replace`.

    health: how it stands with that relay now, if anything is known. Raises NotNow.
    """
    known = next((row for row in store_relays.all(turn.db) if row.peer == relay.peer), None)
    if known is None:
        use(turn, relay)
    elif replace:
        store_relays.put(turn.db, RelayRow(relay.peer, relay.addresses, relay.token, True, turn.now))
        _changed(turn)
    else:
        state = "connecting" if health is None else health.state
        if known.token and not relay.token:
            raise NotNow("This relay is in your list with a token, which this address lacks", hint=_REPLACE)
        if known.token != relay.token and known.token and state != "refused":
            raise NotNow("This relay is in your list with another token, which it has not refused", hint=_REPLACE)
        if state == "connected" and not (set(relay.addresses) <= set(known.addresses) and relay.token == known.token):
            raise NotNow("This relay is in your list and answers, by another address or token", hint=_REPLACE)
        use(turn, relay)


_REPLACE = "Nothing was changed; `p2pchat relays add ADDRESS --replace` puts this in its place."


def leave(turn: Turn, peer: bytes) -> None:
    """Use a relay no more. What contacts still deposit there is collected for a while."""
    if peer not in {row.peer for row in store_relays.all(turn.db)}:
        raise UsageError("That is none of your relays", hint="`p2pchat relays` lists them.")
    store_relays.remove(turn.db, peer)
    _changed(turn)


def begin(turn: Turn, for_this_run: Sequence[Relay]) -> None:
    """At the start: those of the last run only are left, those of this run are used."""
    peers = {relay.peer for relay in for_this_run}
    for row in store_relays.all(turn.db):
        if not row.kept and row.peer not in peers:
            leave(turn, row.peer)
    for relay in for_this_run:
        use(turn, relay, kept=False)
    turn.after(turn.net.use_relays, _all(turn))


def _all(turn: Turn) -> list[Relay]:
    return [Relay(row.peer, row.addresses, row.token) for row in store_relays.all(turn.db)]


def _changed(turn: Turn) -> None:
    turn.mail_changed = True
    turn.after(turn.net.use_relays, _all(turn))
    for contact in store_contacts.all(turn.db):
        people.tell_queues(turn, contact)
