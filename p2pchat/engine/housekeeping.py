"""What time does: expiry, rotation, forgetting. Run at the start and every hour."""

from __future__ import annotations

from dataclasses import replace

from p2pchat.core import content as contents
from p2pchat.core import delivery
from p2pchat.core.session import LINGER
from p2pchat.engine import invites, people, queues
from p2pchat.engine.turn import Turn
from p2pchat.store import contacts as store_contacts
from p2pchat.store import envelopes as store_envelopes
from p2pchat.store import invites as store_invites
from p2pchat.store import outbox as store_outbox
from p2pchat.store import prekeys as store_prekeys
from p2pchat.store import queues as store_queues
from p2pchat.store import sessions as store_sessions


def tick(turn: Turn) -> None:
    """Everything that is due."""
    for row in store_outbox.expired(turn.db, turn.now):
        if row.kind == contents.TEXT and row.msg_id is not None:
            people.advance(turn, row.contact, [row.msg_id], delivery.EXPIRED, None)
        store_outbox.remove(turn.db, [row.pk])
    for invite in store_invites.expire(turn.db, turn.now):
        invites.ended(turn, invite)
    store_prekeys.expire(turn.db, turn.now)
    store_envelopes.expire(turn.db, turn.now)
    for contact_id in store_sessions.rivals(turn.db):
        contact = turn.contact(contact_id)
        if contact is not None and contact.state == "contact":
            _end_losers(turn, contact_id)
    turn.sessions.write()
    for contact_id in store_sessions.expire(turn.db, turn.now):
        turn.after(turn.net.relink, contact_id)  # a link by the hello of an ended session could not renew
    turn.sessions.forget()
    turn.pairs_changed = True
    invites.rotation(turn)
    turn.mail_of.update(dict.fromkeys(store_queues.expire(turn.db, turn.now)))
    queues.take_up(turn)
    for each in store_contacts.all(turn.db):
        people.tell_queues(turn, each)


def _end_losers(turn: Turn, contact_id: bytes) -> None:
    """Of sessions that both sides surely have, one is used for sending; the others end."""
    live = [one for one in turn.sessions.all(contact_id) if one.ends_at is None and one.confirmed]
    for session in sorted(live, key=lambda one: one.th)[1:]:
        turn.sessions.put(contact_id, replace(session, ends_at=turn.now + LINGER))
