"""Confirmations for rows of the outbox: acks from contacts, and deposits at relays.

Neither is a receipt. A row whose content is receipted stays in the outbox, to be sent again; other rows are done.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from p2pchat.core.contents import kind_of
from p2pchat.core.delivery import DeliveryEvent, Route
from p2pchat.core.ids import ContactId, EnvelopeId, MailOwner, RelayName, contact_of, direct_chat, first_device
from p2pchat.engine.contacts import renewal
from p2pchat.engine.delivery import states
from p2pchat.engine.delivery.mailbox_sender import KEEP_HOURS
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.lib.times import HOUR_MS
from p2pchat.store import deposits as store_deposits
from p2pchat.store import outbox as store_outbox
from p2pchat.store.outbox import OutboxForm

_FIRST = frozenset({OutboxForm.INITIAL, OutboxForm.RENEWAL, OutboxForm.REQUEST})
"""The first message of a session has no receipt: its ack says that it has arrived."""
RETRY_ACKED_MS = (HOUR_MS, 6 * HOUR_MS, 24 * HOUR_MS)
"""Delays after which an acked content without a receipt is sent again; then it is sent daily."""
Reached = Callable[[MailOwner], Sequence[int]]
"""Returns the queues of a contact at relays that accept deposits, as far as is known."""


def acked(tx: Transaction, contact_id: ContactId, route: Route, ids: list[EnvelopeId]) -> None:
    """Note that the contact's node has these envelopes on disk. Receipts are done then; contents still wait for
    theirs.
    """
    done, stored = [], []
    for row in store_outbox.acked(tx.db, first_device(contact_id), ids):
        if row.form in _FIRST or not kind_of(row.kind).receipted:
            done.append(row)
            contact = tx.contact(contact_id)
            if row.form == OutboxForm.RENEWAL and contact is not None:
                renewal.arrived(tx, contact, row.session_id)
            continue
        again_at = tx.now + RETRY_ACKED_MS[min(row.attempts, len(RETRY_ACKED_MS) - 1)]
        store_outbox.update(tx.db, row.pk, acked_at=tx.now, attempts=row.attempts + 1, next_try=again_at)
        if row.msg_id is not None:
            stored.append(row.msg_id)
    store_outbox.remove(tx.db, [row.pk for row in done])
    tx.sessions.dequeued(first_device(contact_id), [(row.session_id, row.chain) for row in done])
    states.advance(tx, direct_chat(contact_id), stored, DeliveryEvent.STORED, route)
    states.passed_on(tx, stored, route)


def deposited(
    tx: Transaction, owner: MailOwner, relay: RelayName, copies: Sequence[tuple[int, EnvelopeId]], reached: Reached
) -> None:
    """Note envelopes to a contact, or of an invite, that are on a relay's disk, given as (queue, envelope id)."""
    health = tx.net.mailboxes.relay_health().get(relay)
    hours = KEEP_HOURS if health is None or health.longest is None else min(KEEP_HOURS, health.longest)
    until = tx.now + hours * HOUR_MS
    store_deposits.note(tx.db, [(envelope_id, queue, until) for queue, envelope_id in copies], tx.now)
    settle(tx, owner, reached, [envelope_id for _, envelope_id in copies])


def settle(
    tx: Transaction, owner: MailOwner, reached: Reached, envelope_ids: Sequence[EnvelopeId] | None = None
) -> None:
    """Mark those of these envelopes, or of all, as stored that are in every reachable queue, and in at least one."""
    done, stored = [], []
    for row in store_deposits.stored(tx.db, owner, reached(owner), envelope_ids):
        if not kind_of(row.kind).receipted:
            done.append(row.pk)
        elif row.msg_id is not None:
            stored.append(row.msg_id)
        tx.people_changed |= row.form == OutboxForm.BOX
    store_outbox.remove(tx.db, done)
    states.advance(tx, direct_chat(contact_of(owner)), stored, DeliveryEvent.STORED, Route.MAILBOX)
    states.passed_on(tx, stored, Route.MAILBOX)
