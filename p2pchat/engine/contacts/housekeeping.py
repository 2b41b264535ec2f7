"""Everything that depends on time: expiry, rotation, deletion. Run at the start and every hour.

A deadline has passed according to `tx.passed`, which a clock that jumps does not move (see `clock_watch`).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from p2pchat.core.contents import Text, kind_of
from p2pchat.core.delivery import DeliveryEvent, DeliveryState
from p2pchat.core.ids import ContactId, contact_of, direct_chat, direct_contact, first_device
from p2pchat.core.session import LINGER_MS
from p2pchat.engine.contacts import contact_relays, invites, known_relays, news, renewal, transport_keys
from p2pchat.engine.delivery import outbound, queues, states
from p2pchat.engine.runtime import withholding
from p2pchat.engine.runtime.clock_watch import Jump
from p2pchat.engine.runtime.transaction import Transaction, index_messages
from p2pchat.lib.times import DAY_MS
from p2pchat.store import contacts as store_contacts
from p2pchat.store import envelopes as store_envelopes
from p2pchat.store import invites as store_invites
from p2pchat.store import messages as store_messages
from p2pchat.store import meta, sending_chains
from p2pchat.store import outbox as store_outbox
from p2pchat.store import prekeys as store_prekeys
from p2pchat.store import queues as store_queues
from p2pchat.store import renewals as store_renewals
from p2pchat.store import sessions as store_sessions
from p2pchat.store import timers as store_timers
from p2pchat.store.contacts import ACCEPTED, ContactState
from p2pchat.store.outbox import OutboxForm

KEEP_SKIPPED_MS = 7 * DAY_MS
TAKEN_UP_FOR = 60 * DAY_MS
"""How long after it failed at its deadline a text is tried again if it turns out that the clock was ahead."""


def tick(tx: Transaction) -> None:
    """Do everything that is due for the profile as a whole."""
    _resume_failed(tx)
    _expire_outbox(tx)
    for invite in store_invites.expire(tx.db, tx.passed):
        invites.ended(tx, invite)
    store_prekeys.expire(tx.db, tx.passed, tx.now)
    store_envelopes.expire(tx.db, tx.passed)
    for device in store_sessions.rivals(tx.db):
        contact = tx.contact(contact_of(device))
        if contact is not None and contact.state == ContactState.CONTACT:
            _end_superseded(tx, contact.id)
    tx.later(None, index_messages)  # after an upgrade all of them wait: a search of a large profile would too
    tx.storage_limits.check_disk(tx.db)
    withholding.recheck(tx)
    renewal.retry_unsettled(tx)
    _expire_sessions(tx)
    tx.offers_changed = True  # what is remembered of invites that are gone ends too
    if tx.agreed and lasting(tx, "prekeys_ahead_since", invites.rotated_ahead(tx)):
        invites.redate_rotation(tx)
    invites.rotation(tx)
    transport_keys.prepare(tx)
    tx.mail_of.update(dict.fromkeys(store_queues.expire(tx.db, tx.passed)))
    queues.take_up(tx)
    known_relays.tidy(tx)


def _expire_outbox(tx: Transaction) -> None:
    """Fail what was not delivered in time."""
    first, last = store_outbox.deadlines(tx.db)
    expired = [] if first is None or first > tx.passed else store_outbox.expired(tx.db, tx.passed)
    for row in expired:
        if kind_of(row.kind).visible and row.msg_id is not None:
            chat = direct_chat(row.contact)
            states.advance(tx, chat, [row.msg_id], DeliveryEvent.EXPIRED, None)
            if row.kind == Text.KIND.number:
                store_outbox.failed(tx.db, chat, row, tx.now)
        store_outbox.remove(tx.db, [row.pk])
    for row in expired:  # only now, since it seals again what is left
        if row.form == OutboxForm.RENEWAL and (contact := tx.contact(row.contact)) is not None:
            renewal.lapsed(tx, contact, row.session_id)
    store_outbox.forget_failed(tx.db, tx.passed - TAKEN_UP_FOR)
    until = tx.now + outbound.RETRY_FOR_MS
    if tx.agreed and lasting(tx, "outbox_ahead_since", last is not None and last > until + DAY_MS):
        store_outbox.keep_at_most(tx.db, until, DAY_MS)


def _expire_sessions(tx: Transaction) -> None:
    """Delete sessions that have ended, and replace links that were made in one."""
    tx.sessions.write()
    for contact_id in map(contact_of, store_sessions.expire(tx.db, tx.passed)):
        tx.after(tx.net.relink, contact_id)  # a link by the hello of an ended session could not renew
        tx.pairs_of.add(contact_id)
    tx.sessions.forget()
    sending_chains.forget_unused(tx.db)


def tick_contacts(tx: Transaction, contact_ids: Collection[ContactId]) -> None:
    """Do everything that is due for each of these contacts: see `walk`."""
    for contact_id in contact_ids:
        contact = store_contacts.get(tx.db, contact_id)  # not remembered: all of them are looked at
        if contact is None:
            continue
        if contact.state == ContactState.CONTACT and store_outbox.astray(tx.db, first_device(contact_id)):
            _end_superseded(tx, contact_id)
        _drop_skipped(tx, contact_id)
        renewal.check_acks(tx, contact)
        news.tell_queues(tx, contact)
    contact_relays.settle(tx, contact_ids)


def _drop_skipped(tx: Transaction, contact_id: ContactId) -> None:
    """In chats with a timer, delete the keys of messages that never came, a week after those would have ended."""
    seconds = tx.timer(direct_chat(contact_id))
    if seconds:
        tx.sessions.write()
        if store_timers.drop_skipped(tx.db, contact_id, tx.passed - 1000 * seconds - KEEP_SKIPPED_MS):
            tx.sessions.forget(first_device(contact_id))


def lasting(tx: Transaction, key: str, present: bool) -> bool:
    """Return whether times too far ahead have been `present` for a day, noted under `key`: a clock that is behind for
    an hour must not take true ones for such.
    """
    since = meta.get_int(tx.db, key)
    if not present:
        meta.remove(tx.db, key)
    elif not 0 < since <= tx.now:
        meta.put_int(tx.db, key, tx.now)
    return present and 0 < since <= tx.now - DAY_MS


def jumped(tx: Transaction, jump: Jump) -> None:
    """Follow a clock that was set: what was queued by the old time keeps its remaining lifetime, and what failed
    because of a wrong time is tried again.
    """
    if jump.was_set and jump.by > 0:
        store_outbox.postpone(tx.db, jump.since, jump.until, jump.by)
    _resume_failed(tx)


def _resume_failed(tx: Transaction) -> None:
    """Queue messages again that failed because the clock was ahead."""
    for chat, message_id, expires_at in store_outbox.failed_too_early(tx.db, tx.now):
        contact = tx.contact(direct_contact(chat))
        for message in store_messages.mine(tx.db, chat, [message_id]):
            if message.deleted_at is not None:
                continue
            if contact is not None and contact.state in ACCEPTED and message.state == DeliveryState.FAILED:
                outbound.resume(tx, contact, message, expires_at)
                states.advance(tx, chat, [message_id], DeliveryEvent.RESUMED, None)


def _end_superseded(tx: Transaction, contact_id: ContactId) -> None:
    """Of the sessions that both sides surely have, one is used for sending. End the others, and those that we began
    whose first message is not in flight any more. What waits in one of them is sealed again in the session in use.
    """
    device = first_device(contact_id)
    live = [session for session in tx.sessions.all(device) if session.ends_at is None]
    sure = sorted((session for session in live if session.confirmed), key=lambda session: session.session_id)
    under_way = store_outbox.sessions_begun(tx.db, device, OutboxForm.INITIAL, OutboxForm.RENEWAL)
    under_way |= renewal.began_anew(store_renewals.get(tx.db, device))
    losers = (
        [session for session in live if not session.confirmed and session.session_id not in under_way] if sure else []
    )
    for session in sure[1:] + losers:
        tx.sessions.put(device, replace(session, ends_at=tx.now + LINGER_MS))
    if sure and store_outbox.sealed_otherwise(tx.db, device, sure[0].session_id):
        outbound.seal_again(tx, contact_id)
