"""What time does: expiry, rotation, forgetting. Run at the start and every hour.

What ends at a deadline ends by `turn.passed`, which a clock that jumped does not move (see `clock_watch`).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from p2pchat.core import content as contents
from p2pchat.core import delivery
from p2pchat.core.session import DAY, LINGER
from p2pchat.engine import invites, offering, outbound, people, queues, renewal, withholding
from p2pchat.engine.clock_watch import Jump
from p2pchat.engine.turn import Turn
from p2pchat.store import contacts as store_contacts
from p2pchat.store import envelopes as store_envelopes
from p2pchat.store import invites as store_invites
from p2pchat.store import messages as store_messages
from p2pchat.store import meta
from p2pchat.store import outbox as store_outbox
from p2pchat.store import prekeys as store_prekeys
from p2pchat.store import queues as store_queues
from p2pchat.store import renewals as store_renewals
from p2pchat.store import sessions as store_sessions

TAKEN_UP_FOR = 60 * DAY
"""For so long a text that failed at its deadline is taken up again if the clock turns out to have been ahead."""


def tick(turn: Turn) -> None:
    """Everything that is due."""
    _resume_failed(turn)
    expired = store_outbox.expired(turn.db, turn.passed)
    for row in expired:
        if row.kind == contents.TEXT and row.msg_id is not None:
            people.advance(turn, row.contact, [row.msg_id], delivery.EXPIRED, None)
            store_outbox.failed(turn.db, row, turn.now)
        store_outbox.remove(turn.db, [row.pk])
    for row in expired:  # only now, since it seals again what is left
        if row.kind == store_outbox.RENEWAL and (contact := turn.contact(row.contact)) is not None:
            renewal.lapsed(turn, contact, row.th or b"")
    store_outbox.forget_failed(turn.db, turn.passed - TAKEN_UP_FOR)
    until = turn.now + outbound.KEEP_TRYING
    if turn.agreed and lasting(turn, "outbox_ahead_since", store_outbox.kept_longer(turn.db, until + DAY)):
        store_outbox.keep_at_most(turn.db, until, DAY)
    for invite in store_invites.expire(turn.db, turn.passed):
        invites.ended(turn, invite)
    store_prekeys.expire(turn.db, turn.passed, turn.now)
    store_envelopes.expire(turn.db, turn.passed)
    for contact_id in store_sessions.rivals(turn.db):
        contact = turn.contact(contact_id)
        if contact is not None and contact.state == "contact":
            _end_losers(turn, contact_id)
    turn.storage_limits.look_at_disk(turn.db)
    withholding.look_again(turn)
    renewal.look_after(turn)
    turn.sessions.write()
    for contact_id in store_sessions.expire(turn.db, turn.passed):
        turn.after(turn.net.relink, contact_id)  # a link by the hello of an ended session could not renew
        turn.pairs_of.add(contact_id)
    turn.sessions.forget()
    turn.offers_changed = True  # what is remembered of invites that are gone ends too
    if turn.agreed and lasting(turn, "prekeys_ahead_since", invites.rotated_ahead(turn)):
        invites.redate_rotation(turn)
    invites.rotation(turn)
    turn.mail_of.update(dict.fromkeys(store_queues.expire(turn.db, turn.passed)))
    queues.take_up(turn)


def look_at(turn: Turn, contact_ids: Collection[bytes]) -> None:
    """The part of the look that asks about every contact, for these: see `walk`."""
    for contact_id in contact_ids:
        contact = store_contacts.get(turn.db, contact_id)  # not remembered: all of them are looked at
        if contact is None:
            continue
        if contact.state == "contact" and store_outbox.astray(turn.db, contact_id):
            _end_losers(turn, contact_id)
        renewal.look_at(turn, contact)
        people.tell_queues(turn, contact)
    offering.settle(turn, contact_ids)


def lasting(turn: Turn, key: str, present: bool) -> bool:
    """Whether times too far ahead have been `present` for a day, noted under `key`: a clock that is behind for an hour
    must not take true ones for such.
    """
    since = meta.get_int(turn.db, key)
    if not present:
        meta.remove(turn.db, key)
    elif not 0 < since <= turn.now:
        meta.put_int(turn.db, key, turn.now)
    return present and 0 < since <= turn.now - DAY


def jumped(turn: Turn, jump: Jump) -> None:
    """The clock was set. What was queued by its old time keeps the life that it had left; what failed by a time that
    was wrong is taken up again.
    """
    if jump.was_set and jump.by > 0:
        store_outbox.postpone(turn.db, jump.since, jump.until, jump.by)
    _resume_failed(turn)


def _resume_failed(turn: Turn) -> None:
    """Queue again what failed by a clock that was ahead."""
    for contact_id, message_id, expires_at in store_outbox.failed_too_early(turn.db, turn.now):
        contact = turn.contact(contact_id)
        for message in store_messages.mine(turn.db, contact_id, [message_id]):
            if contact is not None and contact.state in ("contact", "waiting") and message.state == delivery.FAILED:
                outbound.resume(turn, contact, message, expires_at)
                people.advance(turn, contact_id, [message_id], delivery.RESUMED, None)


def _end_losers(turn: Turn, contact_id: bytes) -> None:
    """Of sessions that both sides surely have, one is used for sending; the others end, and so do those of our own
    making whose first message is not under way any more. What waits in one of them is sealed in the one that is used.
    """
    live = [one for one in turn.sessions.all(contact_id) if one.ends_at is None]
    sure = sorted((one for one in live if one.confirmed), key=lambda one: one.th)
    under_way = store_outbox.sessions_begun(turn.db, contact_id, store_outbox.INITIAL, store_outbox.RENEWAL)
    under_way |= renewal.began_anew(store_renewals.get(turn.db, contact_id))
    losers = [one for one in live if not one.confirmed and one.th not in under_way] if sure else []
    for session in sure[1:] + losers:
        turn.sessions.put(contact_id, replace(session, ends_at=turn.now + LINGER))
    if sure and store_outbox.sealed_otherwise(turn.db, contact_id, sure[0].th):
        outbound.seal_again(turn, contact_id)
