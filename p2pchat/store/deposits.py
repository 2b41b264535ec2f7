"""Deposits at relays: which envelope of the outbox is in which queue, until when, and when it is deposited again.

A deposit does not prove that the recipient will find it: a relay may lose it, or lie. So until the end-to-end receipt
the same bytes are deposited again, after an hour, six hours, and daily.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from p2pchat.core import mailbox
from p2pchat.core.ids import EnvelopeId, MailOwner, MessageId, PeerKey
from p2pchat.lib.times import HOUR_MS
from p2pchat.store.database import ID_LIST, Database, Value, packed
from p2pchat.store.outbox import OutboxForm, OutboxRow, columns, made
from p2pchat.store.queues import TheirQueueRow

AGAIN = (HOUR_MS, 6 * HOUR_MS, 24 * HOUR_MS)


@dataclass(frozen=True, slots=True)
class Stored:
    """An outbox row that was deposited at relays, without its large columns."""

    pk: int
    kind: int | None
    msg_id: MessageId | None
    form: OutboxForm = OutboxForm.CONTENT


@dataclass(frozen=True, slots=True)
class DepositedCopy:
    """A copy of a message at a relay: the relay's transport key, and until when (ms) it is kept."""

    relay: PeerKey
    until: int


# only for envelopes that are still in the outbox and queues that are still used
_NOTE = f"""
INSERT INTO deposits (outbox, queue, until, attempts, next_try)
SELECT pk, ?2, min(?3, coalesce(keep_until, ?3)), 1, ?4 + {AGAIN[0]} FROM outbox
WHERE envelope_id = ?1 AND EXISTS (SELECT 1 FROM their_queues WHERE id = ?2)
ON CONFLICT DO UPDATE SET until = excluded.until, attempts = attempts + 1,
    next_try = ?4 + CASE attempts WHEN 1 THEN {AGAIN[1]} ELSE {AGAIN[2]} END
"""
# In this order only the index of the waiting rows is read, and the row itself only if it is not in the queue.
_DUE = f"""
SELECT {columns("outbox")} FROM outbox AS waiting
LEFT JOIN deposits ON deposits.outbox = waiting.pk AND deposits.queue = ?1
CROSS JOIN outbox ON outbox.pk = waiting.pk
WHERE waiting.recipient = ?2 AND waiting.pk > ?3 AND coalesce(deposits.next_try, 0) <= ?5
    AND outbox.envelope_id IS NOT NULL AND (outbox.content IS NULL OR outbox.pk > ?4) AND outbox.next_try <= ?5 AND %s
    AND (outbox.keep_until IS NULL OR outbox.keep_until >= ?5 + {HOUR_MS})
ORDER BY waiting.pk LIMIT ?6
"""
_FORMS = {
    0: "outbox.form NOT IN ('initial', 'box')",
    mailbox.BOX: "outbox.form = 'box'",
    mailbox.STAMPED: "outbox.form = 'initial'",
}
_STORED = """
SELECT pk, kind, msg_id, form FROM outbox
WHERE {recipient} = ?1 AND EXISTS (SELECT 1 FROM deposits WHERE outbox = pk) AND NOT EXISTS (
    SELECT 1 FROM json_each(?2) AS queue
    WHERE NOT EXISTS (SELECT 1 FROM deposits WHERE outbox = pk AND deposits.queue = queue.value))
"""
_STORED_OF_ALL = _STORED.format(recipient="recipient") + "ORDER BY pk"
# by envelope, since there are a few, and not by recipient, for whom thousands may wait
_STORED_AMONG = _STORED.format(recipient="+recipient") + f"AND envelope_id IN {ID_LIST.format('?3')} ORDER BY pk"


def due(
    db: Database, now: int, queue: TheirQueueRow, limit: int, after_pk: int = 0, old_to: int = 0
) -> list[OutboxRow]:
    """Return the rows to deposit in a queue, behind `after_pk` and oldest first: those that are not in it, or are due
    again. Contents up to `old_to` are left out, because they will be sealed anew.
    """
    values = (queue.id, queue.owner, after_pk, old_to, now, limit)
    return [made(row) for row in db.query(_DUE % _FORMS[queue.flags], values)]


def takes(queue: TheirQueueRow, form: OutboxForm) -> bool:
    """Return whether rows of this form are deposited in that queue."""
    if queue.flags == 0:
        return form not in (OutboxForm.INITIAL, OutboxForm.BOX)
    return form == (OutboxForm.BOX if queue.flags == mailbox.BOX else OutboxForm.INITIAL)


def note(db: Database, deposits: Iterable[tuple[EnvelopeId, int, int]], now: int) -> None:
    """Note deposited envelopes: (envelope id, queue, until)."""
    db.executemany(_NOTE, [(envelope_id, queue, until, now) for envelope_id, queue, until in deposits])


def stored(
    db: Database, owner: MailOwner, queues: Collection[int], envelope_ids: Iterable[EnvelopeId] | None = None
) -> list[Stored]:
    """Return the rows for a device or of an invite, or those of these envelopes, that are in each of these queues and
    in at least one.
    """
    values: list[Value] = [owner, json.dumps(sorted(queues))]
    if envelope_ids is not None:
        values.append(packed(envelope_ids))
    rows = db.query(_STORED_OF_ALL if envelope_ids is None else _STORED_AMONG, values)
    return [Stored(pk, kind, msg_id, OutboxForm(form)) for pk, kind, msg_id, form in rows]


def counts(db: Database) -> dict[PeerKey, int]:
    """Return how many envelopes of ours lie at each relay, as far as it said so."""
    return dict(
        db.query("SELECT relay, count(*) FROM deposits JOIN their_queues ON their_queues.id = queue GROUP BY relay")
    )


def of(db: Database, pk: int) -> list[DepositedCopy]:
    """Return the copies of an outbox row at relays, the longest-kept first."""
    rows = db.query(
        "SELECT relay, deposits.until FROM deposits JOIN their_queues ON their_queues.id = queue WHERE outbox = ?"
        " ORDER BY deposits.until DESC, relay",
        (pk,),
    )
    return [DepositedCopy(*row) for row in rows]
