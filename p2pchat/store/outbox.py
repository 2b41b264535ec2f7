"""The outbox: what is committed and not yet confirmed as delivered.

A row holds the content and, once it is sealed, its seal. What is sent again is always the same envelope, produced again
from these and from its chain (the session's, or one of `sending_chains`); if it has to be sealed anew, in a renewed
session, the content is used. A row that is not a content holds its envelope. A row is deleted by the end-to-end
receipt, by the sender's delete, or when it expires; an ack of the next hop only slows down its retries. What is at
relays: see `deposits`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, fields
from enum import StrEnum
from operator import attrgetter

from p2pchat.core.ids import ChatId, ContactId, DeviceId, EnvelopeId, MailOwner, MessageId, SessionId, contact_of
from p2pchat.store.database import ID_LIST, Database, Row, Value, assignments, packed


class OutboxForm(StrEnum):
    """The form of an outbox row, as the database has it."""

    CONTENT = "content"
    """A content, sealed or not; the row's `kind` is its type."""
    INITIAL = "initial"
    """A first message for an invite."""
    RENEWAL = "renewal"
    """A first message that renews a session."""
    REQUEST = "request"
    """A request for a new session."""
    BOX = "box"
    """The sealed bundle of an invite of ours, for its box at relays; the row's `recipient` is the invite."""


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A row for one device, or a box of an invite. kind: the type of a content, None in rows of another form.
    envelope_id, session_id: None until it is sealed; then it has an `envelope` or, if it is a content, the number of
    its `chain` in that session and the core's encoded `seal`. msg_id: the id of the content, if it gets a receipt.
    next_try, expires_at: times in ms. pk: set by `add`. keep_until: relays keep it until then at most; None means no
    limit.
    """

    recipient: MailOwner
    kind: int | None
    msg_id: MessageId | None
    content: bytes | None
    created_at: int
    next_try: int
    expires_at: int
    envelope_id: EnvelopeId | None = None
    envelope: bytes | None = None
    session_id: SessionId | None = None
    acked_at: int | None = None
    attempts: int = 0
    form: OutboxForm = OutboxForm.CONTENT
    keep_until: int | None = None
    chain: int | None = None
    seal: bytes | None = None
    pk: int = 0

    @property
    def device(self) -> DeviceId:
        """The device that the row is for; meaningless for a box."""
        return DeviceId(self.recipient)

    @property
    def contact(self) -> ContactId:
        """The contact whose first device the row is for; meaningless for a box."""
        return contact_of(self.recipient)


@dataclass(frozen=True, slots=True)
class Acked:
    """The fields of a row that an ack needs, without the large columns."""

    pk: int
    kind: int | None
    msg_id: MessageId | None
    attempts: int
    session_id: SessionId | None
    chain: int | None
    form: OutboxForm


_NAMES = tuple(field.name for field in fields(OutboxRow))
_COLUMNS = ", ".join(_NAMES)


def columns(table: str) -> str:
    """Return the columns of an `OutboxRow`, for a statement with several tables."""
    return ", ".join(f"{table}.{name}" for name in _NAMES)


_NEW = _NAMES[:-1]
_FORM = _NAMES.index("form")
_FORMS = {form.value: form for form in OutboxForm}
# "form.value" and not "form": binding a member of an enum takes far longer than the text itself.
_values = attrgetter(
    *(name if name != "form" else "form.value" for name in _NEW)
)  # astuple copies deeply, at ten times the cost
_CHANGING = frozenset(_NEW) - {"recipient"}
_ADD = f"INSERT INTO outbox ({', '.join(_NEW)}) VALUES ({', '.join('?' * len(_NEW))})"
_SELECT = f"SELECT {_COLUMNS} FROM outbox "
_FORGET = f"DELETE FROM outbox WHERE msg_id IN {ID_LIST.format('?1')} AND +recipient = ?2 RETURNING session_id, chain"
_ACKED = f"""
SELECT pk, kind, msg_id, attempts, session_id, chain, form FROM outbox
WHERE envelope_id IN {ID_LIST.format("?1")} AND +recipient = ?2 ORDER BY pk
"""
_NOWHERE_ELSE = "AND NOT EXISTS (SELECT 1 FROM deposits WHERE outbox = pk) "
_SEALED = "WHERE envelope_id IS NOT NULL "
_UNSEALED = (
    "SELECT pk FROM outbox WHERE recipient = ? AND content IS NOT NULL AND (envelope_id IS NULL OR pk <= ?)"
    " ORDER BY pk LIMIT ?"
)


def add(db: Database, row: OutboxRow) -> int:
    """Add a row at the end of the queue; return its pk."""
    return db.insert(_ADD, _values(row))


def due(
    db: Database,
    now: int,
    recipient: DeviceId | None = None,
    limit: int | None = None,
    after_pk: int = 0,
    old_to: int = 0,
    *,
    elsewhere: bool = True,
) -> list[OutboxRow]:
    """Return sealed rows behind `after_pk` whose next try is due, oldest first, of one device or of all. Of one device,
    contents up to `old_to` are left out, because they will be sealed anew; unless `elsewhere` is set, so are rows that
    are at a relay.
    """
    most = -1 if limit is None else limit
    if recipient is None:
        return _rows(db, _SEALED + "AND next_try <= ? AND pk > ? ORDER BY pk LIMIT ?", now, after_pk, most)
    fresh = "AND (content IS NULL OR pk > ?) " + ("" if elsewhere else _NOWHERE_ELSE)
    where = _SEALED + "AND next_try <= ? AND pk > ? AND recipient = ? " + fresh + "ORDER BY pk LIMIT ?"
    return _rows(db, where, now, after_pk, recipient, old_to, most)


def for_recipient(db: Database, recipient: MailOwner, limit: int | None = None, after_pk: int = 0) -> list[OutboxRow]:
    """Return the rows for a device, or of an invite, behind `after_pk`, oldest first, sealed or not."""
    return _rows(
        db, "WHERE recipient = ?1 AND pk > ?2 ORDER BY pk LIMIT ?3", recipient, after_pk, -1 if limit is None else limit
    )


def contents_for(db: Database, recipient: DeviceId) -> list[tuple[int, MessageId]]:
    """Return (type, message id) of the contents with an id that wait for a device, oldest first."""
    rows = db.query(
        "SELECT kind, msg_id FROM outbox WHERE recipient = ? AND msg_id IS NOT NULL ORDER BY pk", (recipient,)
    )
    return [(kind, MessageId(msg_id)) for kind, msg_id in rows]


def by_envelope(db: Database, envelope_id: EnvelopeId) -> OutboxRow | None:
    """Return the row with that envelope, or None."""
    return _row(db.query_one(_SELECT + "WHERE envelope_id = ?", (envelope_id,)))


def acked(db: Database, recipient: DeviceId, envelope_ids: Iterable[EnvelopeId]) -> list[Acked]:
    """Return the rows for a device with these envelopes, oldest first."""
    values = (packed(envelope_ids), recipient)
    found = db.query(_ACKED, values)
    return [
        Acked(pk, kind, msg_id, attempts, session_id, chain, _FORMS[form])
        for pk, kind, msg_id, attempts, session_id, chain, form in found
    ]


def get(db: Database, pk: int) -> OutboxRow | None:
    """Return the row with that pk, or None."""
    return _row(db.query_one(_SELECT + "WHERE pk = ?", (pk,)))


def initial(db: Database, recipient: DeviceId) -> bytes | None:
    """Return the first message for the invite through which a device is being joined, or None."""
    return first_of(db, recipient, OutboxForm.INITIAL)


def first_of(db: Database, recipient: DeviceId, form: OutboxForm) -> bytes | None:
    """Return the first message of this form for a device, or None."""
    row = db.query_one("SELECT envelope FROM outbox WHERE recipient = ? AND form = ?", (recipient, form))
    return None if row is None else row[0]


def has_unacked(db: Database, recipient: DeviceId, before: int) -> bool:
    """Return whether a row for a device that was sealed before `before` (ms) is at no relay and was never acked."""
    where = f"{_SEALED}AND recipient = ? AND acked_at IS NULL AND created_at < ? {_NOWHERE_ELSE}"
    return db.query_one(f"SELECT 1 FROM outbox {where} LIMIT 1", (recipient, before)) is not None


def sessions_begun(db: Database, recipient: DeviceId, *forms: OutboxForm) -> set[SessionId]:
    """Return the sessions with a device whose first message, of one of these forms, is still in the outbox."""
    found = db.query("SELECT form, session_id FROM outbox WHERE recipient = ? AND content IS NULL", (recipient,))
    return {session_id for form, session_id in found if form in forms and session_id is not None}


def astray(db: Database, recipient: DeviceId) -> bool:
    """Return whether a content for a device is sealed in a session that has ended or does not exist."""
    sql = (
        "SELECT 1 FROM outbox WHERE recipient = ? AND content IS NOT NULL AND envelope_id IS NOT NULL"
        " AND NOT EXISTS (SELECT 1 FROM sessions WHERE sessions.session_id = outbox.session_id"
        " AND receive_until IS NULL) LIMIT 1"
    )
    return db.query_one(sql, (recipient,)) is not None


def has_waiting(db: Database, recipient: DeviceId) -> bool:
    """Return whether there are rows for a device."""
    return db.query_one("SELECT 1 FROM outbox WHERE recipient = ? LIMIT 1", (recipient,)) is not None


def has_kind(db: Database, kind: int) -> bool:
    """Return whether a content of this kind waits for anybody. It reads all rows without their large columns."""
    return db.query_one("SELECT 1 FROM outbox WHERE kind = ? LIMIT 1", (kind,)) is not None


def sealed_otherwise(db: Database, recipient: DeviceId, session_id: SessionId) -> bool:
    """Return whether a content for a device is sealed in another session than `session_id`."""
    sql = (
        "SELECT 1 FROM outbox WHERE recipient = ? AND content IS NOT NULL AND envelope_id IS NOT NULL"
        " AND session_id <> ? LIMIT 1"
    )
    return db.query_one(sql, (recipient, session_id)) is not None


def newest(db: Database, recipient: DeviceId) -> int:
    """Return the pk of the last row for a device; 0 if there is none."""
    row = db.query_one("SELECT max(pk) FROM outbox WHERE recipient = ?", (recipient,))
    return 0 if row is None or row[0] is None else int(row[0])


def unsealed(db: Database, recipient: DeviceId, old_to: int = 0, limit: int = -1) -> list[int]:
    """Return the pks of a device's contents that are not sealed, or have to be sealed anew (up to `old_to`), oldest
    first. It does not return the rows, which may be more than fits into memory.
    """
    return [pk for (pk,) in db.query(_UNSEALED, (recipient, old_to, limit))]


def update(db: Database, pk: int, **fields: Value) -> None:
    """Set fields of one row, by the names of `OutboxRow`."""
    db.execute(f"UPDATE outbox SET {assignments(fields, _CHANGING)} WHERE pk = :pk", {**fields, "pk": pk})


def unseal(db: Database, pks: Iterable[int]) -> None:
    """Mark these contents as unsealed, because the data for sealing them again is lost."""
    sql = "UPDATE outbox SET envelope_id = NULL, envelope = NULL, session_id = NULL, chain = NULL, seal = NULL"
    if rows := [(pk,) for pk in pks]:
        db.executemany(f"{sql} WHERE pk = ?", rows)


def forget_messages(
    db: Database, recipient: DeviceId, msg_ids: Iterable[MessageId]
) -> list[tuple[SessionId | None, int | None]]:
    """Delete the rows for a device with these messages, after a receipt or a delete; return the session and the chain
    in which each was sealed.
    """
    return [(session_id, chain) for session_id, chain in db.query(_FORGET, (packed(msg_ids), recipient))]


def remove(db: Database, pks: Iterable[int]) -> None:
    """Remove the rows with these primary keys."""
    if rows := [(pk,) for pk in pks]:
        db.executemany("DELETE FROM outbox WHERE pk = ?", rows)


def clear_forms(db: Database, recipient: DeviceId, *forms: OutboxForm) -> None:
    """Delete the rows of these forms for a device."""
    db.executemany("DELETE FROM outbox WHERE recipient = ? AND form = ?", [(recipient, form) for form in forms])


def clear(db: Database, recipient: MailOwner, kinds: Iterable[int] | None = None) -> None:
    """Delete all rows for a device or of an invite, or only its contents of these kinds."""
    if kinds is None:
        db.execute("DELETE FROM outbox WHERE recipient = ?", (recipient,))
    else:
        db.executemany("DELETE FROM outbox WHERE recipient = ? AND kind = ?", [(recipient, kind) for kind in kinds])


def clear_renewal(db: Database, recipient: DeviceId, session_id: SessionId | None) -> None:
    """Delete the first message of the renewed session `session_id`, which has arrived."""
    db.execute(
        "DELETE FROM outbox WHERE recipient = ? AND form = ? AND session_id = ?",
        (recipient, OutboxForm.RENEWAL, session_id),
    )


def deadlines(db: Database) -> tuple[int | None, int | None]:
    """Return the earliest deadline of any row and the latest deadline of a content; None if there is none.

    It reads all rows without their large columns, once an hour. An index would be written with every message that is
    added or removed.
    """
    row = db.query_one("SELECT min(expires_at), max(CASE WHEN form = 'content' THEN expires_at END) FROM outbox")
    return (None, None) if row is None else (row[0], row[1])


def expired(db: Database, now: int) -> list[OutboxRow]:
    """Return the rows that have expired, oldest first; the caller marks their messages as failed and deletes them."""
    return _rows(db, "WHERE expires_at <= ? ORDER BY expires_at, pk", now)


def failed(db: Database, chat: ChatId, row: OutboxRow, at: int) -> None:
    """Note that the text of a row of this chat failed at its deadline."""
    values = (chat, row.msg_id, at, row.expires_at)
    db.execute(
        "INSERT OR REPLACE INTO failed_in_time (chat, msg_id, failed_at, expires_at) VALUES (?, ?, ?, ?)", values
    )


def failed_too_early(db: Database, now: int) -> list[tuple[ChatId, MessageId, int]]:
    """Return (chat, message id, deadline) of texts that failed by a clock ahead of `now`, although their deadline is
    still to come.
    """
    where = "WHERE failed_at > ?1 AND expires_at > ?1 ORDER BY chat, msg_id"
    found = db.query(f"SELECT chat, msg_id, expires_at FROM failed_in_time {where}", (now,))
    db.execute("DELETE FROM failed_in_time WHERE failed_at > ?1 AND expires_at > ?1", (now,))
    return [(chat, msg_id, expires_at) for chat, msg_id, expires_at in found]


def forget_failed(db: Database, before: int) -> None:
    """Delete the notes of texts that failed before a time."""
    db.execute("DELETE FROM failed_in_time WHERE failed_at < ?", (before,))


def forget_failed_in(db: Database, chat: ChatId) -> None:
    """Delete the notes of failed texts of a chat, so that they are not resumed."""
    db.execute("DELETE FROM failed_in_time WHERE chat = ?", (chat,))


def keep_at_most(db: Database, until: int, slack: int) -> None:
    """Shorten the deadlines of contents that a wrong clock has set after `until`, with some slack, to `until`."""
    db.execute("UPDATE outbox SET expires_at = ?1 WHERE expires_at > ?2 AND form = 'content'", (until, until + slack))


def postpone(db: Database, since: int, until: int, by: int) -> None:
    """Extend the deadlines of rows queued from `since` to `until`, by the old time, because the clock was set ahead by
    `by` ms.
    """
    db.execute(
        "UPDATE outbox SET created_at = created_at + ?3, expires_at = expires_at + ?3"
        " WHERE created_at BETWEEN ?1 AND ?2 AND form <> 'box'",
        (since, until, by),
    )


def counts(db: Database) -> dict[MailOwner, int]:
    """Return the number of rows by recipient; recipients without rows are left out."""
    return dict(db.query("SELECT recipient, count(*) FROM outbox GROUP BY recipient"))


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits for one recipient: messages, how many of them a relay has already, and everything else."""

    messages: int
    stored: int
    other: int


def waiting(db: Database, messages: Collection[int]) -> dict[MailOwner, Waiting]:
    """Return what waits, by recipient; recipients for whom nothing waits are left out. messages: the types of contents
    that count as such.
    """
    kinds = f"coalesce(kind IN ({', '.join('?' * len(messages))}), 0)"
    rows = db.query(
        "SELECT recipient, sum(is_message), sum(is_message AND stored), count(*) FROM"
        f" (SELECT recipient, {kinds} AS is_message, EXISTS (SELECT 1 FROM deposits WHERE outbox = pk) AS stored"
        " FROM outbox) GROUP BY recipient",
        tuple(messages),
    )
    return {recipient: Waiting(count, stored, total - count) for recipient, count, stored, total in rows}


def for_message(db: Database, msg_id: MessageId) -> list[OutboxRow]:
    """Return the rows with a message, oldest first."""
    return _rows(db, "WHERE msg_id = ? ORDER BY pk", msg_id)


def made(row: Row) -> OutboxRow:
    """Return the row from the values of `columns`."""
    values = list(row)
    values[_FORM] = _FORMS[values[_FORM]]
    return OutboxRow(*values)


def _rows(db: Database, where: str, *values: Value) -> list[OutboxRow]:
    return [made(row) for row in db.query(_SELECT + where, values)]


def _row(row: Row | None) -> OutboxRow | None:
    return None if row is None else made(row)
