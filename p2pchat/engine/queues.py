"""Our queues for a contact: one at each of two relays, made anew every week, announced whenever they change.

They lie at relays of our own. Who has none uses those of the contact, for that contact alone: no relay that we did not
choose learns of anybody else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from p2pchat.core.content import Announced
from p2pchat.core.invite import ROLE_RELAY, Invite, decode_invite
from p2pchat.core.primitives import KEY, sign_public
from p2pchat.core.session import DAY
from p2pchat.engine.ports import Relay
from p2pchat.engine.turn import Turn
from p2pchat.store import queues as store_queues
from p2pchat.store import relays as store_relays
from p2pchat.store.contacts import Contact
from p2pchat.store.queues import OwnQueueRow, TheirQueueRow

MOST_RELAYS = 2
NEW_AFTER = 7 * DAY
READ_ON = 14 * DAY
USED_UNTIL = 60 * DAY
"""From when a queue was made: who has not heard of a newer one by then does not deposit there any more."""
LEFT_AFTER = 3_600_000
"""A relay that has not answered for so long is passed over where there are others."""


@dataclass(frozen=True, slots=True)
class Source:
    """Whose queue something came from: a contact's, an invite's of ours, the box of one that a contact gave us, or
    nobody's.
    """

    kind: Literal["contact", "invite", "box", "nobody"]
    owner: bytes


def ours(turn: Turn) -> list[Relay]:
    """The relays of our own that are used, best first."""
    health = turn.net.mailboxes.relay_health()

    def dead(peer: bytes) -> bool:
        known = health.get(peer)
        return known is not None and known.state != "connected" and known.since + LEFT_AFTER <= turn.now

    rows = store_relays.all(turn.db)
    best = sorted(rows, key=lambda row: dead(row.peer))[:MOST_RELAYS]  # a stable order: the one added first is first
    return [Relay(row.peer, row.addresses, row.token) for row in rows if row in best]


def relays_for(turn: Turn, contact: Contact) -> list[Relay]:
    """The relays for the queues of a contact."""
    own = ours(turn)
    if own:
        return own
    found = {
        row.relay: Relay(row.relay, (row.address,), row.token)
        for row in store_queues.theirs(turn.db, contact.id)
        if row.flags == 0 and row.until > turn.passed
    }
    if not found and contact.invite is not None:
        found = {relay.peer: relay for relay in of_invite(decode_invite(contact.invite))}
    return list(found.values())[:MOST_RELAYS]


def of_invite(invite: Invite) -> list[Relay]:
    """The relays that an invite names."""
    return [Relay(way.peer, (way.address,), way.token) for way in invite.ways if way.role == ROLE_RELAY]


def refresh(turn: Turn, contact: Contact) -> bool:
    """Bring our queues for a contact to what they should be; whether there is something to announce."""
    wanted = {relay.peer: relay for relay in relays_for(turn, contact)}
    known = {row.relay: row for row in store_queues.announced(turn.db, contact.id)}
    changed = False
    for peer, row in known.items():
        # one who waits for their answer cannot be told: the first message has named these
        aged = contact.state == "contact" and not turn.recent(row.made_at, NEW_AFTER)
        if peer not in wanted or aged:
            store_queues.retire(turn.db, row, turn.now + READ_ON)
            changed = True
        elif (row.addresses, row.token) != (wanted[peer].addresses, wanted[peer].token):
            store_queues.move(turn.db, row, wanted[peer].addresses, wanted[peer].token)
            del wanted[peer]
            changed = True
        else:
            del wanted[peer]
    for relay in wanted.values():
        store_queues.collect_from(turn.db, _new(turn, contact, relay))
        changed = True
    turn.mail_changed |= changed
    return changed


def _new(turn: Turn, contact: Contact, relay: Relay) -> OwnQueueRow:
    put_seed = turn.random(KEY)
    return OwnQueueRow(
        contact=contact.id,
        invite=None,
        relay=relay.peer,
        addresses=relay.addresses,
        token=relay.token,
        fetch_seed=turn.random(KEY),
        put=sign_public(put_seed),
        put_seed=put_seed,
        flags=0,
        made_at=turn.now,
    )


def announced(turn: Turn, contact: Contact) -> tuple[Announced, ...]:
    """What the contact is told about our queues."""
    return tuple(
        Announced(row.relay, row.addresses[0], row.token, row.fetch, row.put_seed, row.made_at + USED_UNTIL)
        for row in store_queues.announced(turn.db, contact.id)
        if row.put_seed is not None
    )


def told(turn: Turn, contact: Contact, queues: tuple[Announced, ...]) -> None:
    """A contact told where it collects; what is not in the list any more is not used any more."""
    rows = [
        TheirQueueRow(
            contact.id, None, one.relay, one.address, one.token, one.fetch, one.put_seed, flags=0, until=one.until
        )
        for one in queues
        if one.until > turn.passed and not turn.net.mailboxes.is_us(one.relay)
    ]
    store_queues.deposit_no_more(turn.db, contact.id, 0, rows)
    for row in rows:
        store_queues.deposit_in(turn.db, row)
    turn.mail_changed = True


def leave(turn: Turn, contact_id: bytes) -> None:
    """Nothing is collected from this contact, or deposited for it, any more."""
    store_queues.collect_no_more(turn.db, contact=contact_id)
    for flags in {row.flags for row in store_queues.theirs(turn.db, contact_id)}:
        store_queues.deposit_no_more(turn.db, contact_id, flags)
    turn.mail_changed = True
