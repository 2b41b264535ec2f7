"""Messages: their rows, their order, and their entries in the search index.

Order. A chat is shown by (place, seq, pk). A new message takes the next place. A late one, whose `seq` is lower than
that of an earlier received message of the same sender, takes the place of the sender's message that follows it. So the
messages of one sender are shown in the order in which they were written, whatever the order in which two relays
delivered them, and no clock is used.

Deleting leaves (chat, sender, seq) and a hash of the id behind: see `erased` in the schema.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

from p2pchat.core.content import EPOCH
from p2pchat.core.contents import GroupNotice
from p2pchat.core.delivery import DeliveryState, Route
from p2pchat.core.ids import NOBODY, ChatId, ContactId, MessageId
from p2pchat.errors import AmbiguousName, DatabaseDamaged, NoSuchMessage
from p2pchat.store import search_backlog
from p2pchat.store.database import ID_LIST, Database, Row, Value, packed

ME = NOBODY
ID_BYTES = 16
MAX_PK = (1 << 63) - 1
_SOME = 5  # candidates that an error names


class MessageRow(NamedTuple):
    """A message. sender: a contact, or `ME` if it is `mine`. seq: counts the sender's messages in this chat.

    read_at: when they read ours, or we theirs. late: it arrived after messages of ours before which it is shown. place,
    pk, late: set by `insert`, which ignores their values. reply_to: the id of the message that this one answers; quote:
    the beginning of that, as the sender gives it. expire_s: how many seconds it stays, 0 for ever; expires_at: when it
    ends, by the counted clock, once its time has begun. version: the id of the newest edit; edited_at: when that was
    written. deleted_at: when its sender deleted it for both.
    """

    id: MessageId
    chat: ChatId
    sender: ContactId
    kind: int
    seq: int
    text: str
    sent_at: int
    state: DeliveryState
    received_at: int | None = None
    route: Route | None = None
    stored_at: int | None = None
    delivered_at: int | None = None
    read_at: int | None = None
    place: int = 0
    pk: int = 0
    late: int = 0
    reply_to: MessageId | None = None
    quote: str = ""
    expire_s: int = 0
    expires_at: int | None = None
    version: MessageId | None = None
    edited_at: int | None = None
    deleted_at: int | None = None

    @property
    def mine(self) -> bool:
        """Whether we wrote it."""
        return self.sender == ME


_NAMES = MessageRow._fields
_COLUMNS = ", ".join(_NAMES)
_STATE, _ROUTE = _NAMES.index("state"), _NAMES.index("route")
_STATES = {state.value: state for state in DeliveryState}
_ROUTES: dict[str | None, Route | None] = {None: None, **{route.value: route for route in Route}}


def columns(table: str) -> str:
    """Return the columns of a `MessageRow`, for a statement with several tables."""
    return ", ".join(f"{table}.{name}" for name in _NAMES)


_SELECT = f"SELECT {_COLUMNS} FROM messages "
_REPORTS = f"""{_SELECT} WHERE chat = ? AND seq = 0 AND kind = ? AND reply_to IS NOT NULL AND sender <> ? AND EXISTS (
    SELECT 1 FROM messages AS meant
    WHERE meant.chat = messages.chat AND meant.id = messages.reply_to AND meant.deleted_at IS NULL)
ORDER BY pk LIMIT ?"""
_INDEXED = "INDEXED BY messages_in_order"
_LAST_PK = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'messages'"
_NEXT_PLACE = "coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'messages'), 0) + 1"
# Between two epochs of a sender ids, which hold a time, say what is late: two copies of a profile may take turns.
# seq 0 is no number, so it is never late; nor is one whose number another message has: its sender counts again, from an
# old copy of their profile, and this one is new. VALUES and not SELECT, which would first be copied into a table of its
# own. One that was erased here gets no place, and what has none is passed over like one that is here.
_INSERT = f"""
INSERT OR IGNORE INTO messages
    (id, chat, sender, kind, seq, text, sent_at, state, received_at, route, stored_at, delivered_at, read_at, place)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13,
        CASE WHEN NOT EXISTS (SELECT 1 FROM erased WHERE chat = ?2 AND sender = ?3 AND seq = ?5 AND mark = ?14)
        THEN coalesce((SELECT place FROM messages WHERE chat = ?2 AND sender = ?3 AND seq > ?5 AND ?5 > 0
                       AND (seq / {EPOCH} = ?5 / {EPOCH} OR id > ?1)
                       AND NOT EXISTS (SELECT 1 FROM messages WHERE chat = ?2 AND sender = ?3 AND seq = ?5)
                       AND NOT EXISTS (SELECT 1 FROM erased WHERE chat = ?2 AND sender = ?3 AND seq = ?5)
                       ORDER BY seq LIMIT 1), {_NEXT_PLACE}) END)
RETURNING pk, place
"""
_MARK_LATE = """
UPDATE messages SET late = 1 WHERE pk = ?1 AND EXISTS (
    SELECT 1 FROM messages AS ours WHERE ours.chat = ?2 AND ours.sender = x'' AND ours.place > messages.place)
"""
# For messages that are newer than all of their senders: they take the next places, and have been erased by nobody.
_INSERT_NEWEST = """
INSERT OR IGNORE INTO messages
    (pk, id, chat, sender, kind, seq, text, sent_at, state, received_at, route, stored_at, delivered_at, read_at, place)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?1)
"""
_NEWEST_SEQS = """
SELECT unhex(value), (SELECT max(seq) FROM messages WHERE chat = ?1 AND sender = unhex(value)),
    EXISTS (SELECT 1 FROM erased WHERE chat = ?1 AND sender = unhex(value))
FROM json_each(?2)
"""
# Most messages have nothing of this, so it is no part of the statement above.
_ADD_TO = "UPDATE messages SET reply_to = ?, quote = ?, expire_s = ?, expires_at = ?, deleted_at = ? WHERE pk = ?"
_ERASE = "INSERT INTO erased (chat, sender, seq, mark) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
_CLEARED = """
SELECT pk, sender, seq, id, text FROM messages WHERE chat = ? AND pk <= ? ORDER BY place, seq, pk LIMIT ?
"""
_LAST_SEQ = """
SELECT max(coalesce((SELECT max(seq) FROM messages WHERE chat = ?1 AND sender = x''), 0),
           coalesce((SELECT max(seq) FROM erased WHERE chat = ?1 AND sender = x''), 0))
"""
_NEWEST = _SELECT + "WHERE chat = ?1 ORDER BY place DESC, seq DESC, pk DESC LIMIT ?2"
_BEFORE = (
    _SELECT + "WHERE chat = ?1 AND (place, seq, pk) < (SELECT place, seq, pk FROM messages WHERE pk = ?3)"
    " ORDER BY place DESC, seq DESC, pk DESC LIMIT ?2"
)
_AFTER = (
    _SELECT + "WHERE chat = ?1 AND (place, seq, pk) > (SELECT place, seq, pk FROM messages WHERE pk = ?3)"
    " ORDER BY place, seq, pk LIMIT ?2"
)
_BETWEEN = (
    _SELECT + "WHERE chat = ?1 AND place BETWEEN ?3 AND ?4 AND (place, seq, pk) > (?5, ?6, ?7)"
    " AND (place, seq, pk) < (?8, ?9, ?10) ORDER BY place {order}, seq {order}, pk {order} LIMIT ?2"
)
# A message has its pk as its place, unless it came late: so each half has an index in the order of the pk.
_IN_TIME, _LATE = (
    f"{_SELECT}INDEXED BY {index} WHERE chat = ?1 AND place {sign} pk AND {key} > ?2 ORDER BY {key} {{order}} LIMIT ?3"
    for index, sign, key in (("messages_in_order", "=", "place"), ("messages_late", "<>", "pk"))
)
_SAVED_IN_CHAT = f"SELECT * FROM ({_IN_TIME}) UNION ALL SELECT * FROM ({_LATE}) ORDER BY pk {{order}} LIMIT ?3"
_TIME_OF = {
    DeliveryState.STORED: "stored_at",
    DeliveryState.DELIVERED: "delivered_at",
    DeliveryState.READ: "read_at",
}


class Inserted(NamedTuple):
    """A saved message. late: whether it is shown before messages of ours that were here first."""

    pk: int
    late: bool


def insert(db: Database, row: MessageRow) -> Inserted | None:
    """Save a message; `search_backlog` indexes it later. Return None if (chat, sender, id) exists or was
    deleted here.
    """
    inserted = db.query(_INSERT, (*_values(row), _mark(row.id)))
    if not inserted:
        return None
    ((pk, place),) = inserted
    late = row.sender != ME and place < pk and db.execute(_MARK_LATE, (pk, row.chat)) > 0
    if _has_more(row):
        db.execute(_ADD_TO, (row.reply_to, row.quote, row.expire_s, row.expires_at, row.deleted_at, pk))
    return Inserted(pk, late)


def insert_all(db: Database, chat: ChatId, rows: Sequence[MessageRow]) -> list[Inserted | None]:
    """Save messages of others in one chat, in this order; return for each what `insert` would. Those that are newer
    than all of their senders, as nearly all are, take one statement together.
    """
    inserted: list[Inserted | None] = []
    newest = _newest_seqs(db, chat, {row.sender for row in rows})
    together: list[MessageRow] = []
    for row in rows:
        last = newest.get(row.sender)
        if last is not None and row.seq > last and not _has_more(row):
            newest[row.sender] = row.seq
            together.append(row)
            continue
        inserted += _insert_newest(db, together)
        together = []
        inserted.append(insert(db, row))
        if last is not None:
            newest[row.sender] = max(last, row.seq)
    return inserted + _insert_newest(db, together)


def _newest_seqs(db: Database, chat: ChatId, senders: Collection[ContactId]) -> dict[ContactId, int]:
    """Return the greatest `seq` of each of these senders in a chat, 0 where there is none; nothing for a sender of whom
    something was erased there.
    """
    found = db.query(_NEWEST_SEQS, (chat, packed(senders)))
    return {ContactId(sender): seq or 0 for sender, seq, erased in found if not erased}


def _insert_newest(db: Database, rows: Sequence[MessageRow]) -> list[Inserted | None]:
    """Save messages that are newer than all of their senders; None for each whose (chat, sender, id) exists."""
    if not rows:
        return []
    ((last,),) = db.query(_LAST_PK)
    pks = range(last + 1, last + 1 + len(rows))
    saved: Collection[int] = pks
    if db.executemany(_INSERT_NEWEST, [(pk, *_values(row)) for pk, row in zip(pks, rows, strict=True)]) != len(rows):
        saved = {pk for (pk,) in db.query("SELECT pk FROM messages WHERE pk > ?", (last,))}
    return [Inserted(pk, late=False) if pk in saved else None for pk in pks]


def _has_more(row: MessageRow) -> bool:
    """Return whether a message has something that few have, and that `_ADD_TO` saves."""
    return row.reply_to is not None or bool(row.expire_s) or row.deleted_at is not None


def _values(row: MessageRow) -> tuple[Value, ...]:
    """Return what each message has, as `_INSERT` takes it."""
    return (
        row.id,
        row.chat,
        row.sender,
        row.kind,
        row.seq,
        row.text,
        row.sent_at,
        row.state.value,  # binding the enum member takes far longer
        row.received_at,
        None if row.route is None else row.route.value,
        row.stored_at,
        row.delivered_at,
        row.read_at,
    )


def get(db: Database, chat: ChatId, sender: ContactId, id: MessageId) -> MessageRow | None:
    """Return the message of a sender in a chat with that id, or None."""
    row = db.query_one(_SELECT + "WHERE id = ? AND chat = ? AND sender = ?", (id, chat, sender))
    return None if row is None else made(row)


def by_pk(db: Database, pk: int) -> MessageRow | None:
    """Return the message with this pk, or None."""
    row = db.query_one(_SELECT + "WHERE pk = ?", (pk,))
    return None if row is None else made(row)


def note_read(db: Database, chat: ChatId, ids: Collection[MessageId], at: int) -> None:
    """Note that our messages of a chat were read at `at` (ms), without changing their states."""
    sql = (
        f"UPDATE messages SET read_at = coalesce(read_at, ?1) WHERE id IN {ID_LIST.format('?2')}"
        " AND +chat = ?3 AND +sender = x''"
    )
    db.execute(sql, (at, packed(ids), chat))


def was_erased(db: Database, chat: ChatId, sender: ContactId, id: MessageId) -> bool:
    """Return whether the message of a sender in a chat with that id was deleted here."""
    sql = "SELECT 1 FROM erased WHERE mark = ? AND chat = ? AND sender = ?"
    return db.query_one(sql, (_mark(id), chat, sender)) is not None


def next_seq(db: Database, chat: ChatId) -> int:
    """Return the number of our next message in a chat, from 1; the number of a deleted one is not used again."""
    row = db.query_one(_LAST_SEQ, (chat,))
    return 1 + (row[0] if row else 0)


def newest_of(db: Database, chat: ChatId, sender: ContactId) -> int | None:
    """Return when (ms, by its sender) the newest message of a sender in a chat was written; None without any."""
    sql = "SELECT sent_at FROM messages WHERE chat = ? AND sender = ? ORDER BY seq DESC LIMIT 1"
    row = db.query_one(sql, (chat, sender))
    return None if row is None else int(row[0])


def around(db: Database, chat: ChatId, sender: ContactId, seq: int) -> tuple[int | None, int | None]:
    """Return when (ms, by its sender, but not later than it came) the last message of a sender in a chat before the
    number `seq` was written, or with that, and the first one after it; None without any.
    """
    times = "SELECT min(sent_at, coalesce(received_at, sent_at)) FROM messages WHERE chat = ? AND sender = ? "
    before = db.query_one(times + "AND seq BETWEEN 1 AND ? ORDER BY seq DESC, place DESC LIMIT 1", (chat, sender, seq))
    after = db.query_one(times + "AND seq > ? ORDER BY seq, place LIMIT 1", (chat, sender, seq))
    return None if before is None else int(before[0]), None if after is None else int(after[0])


def count_about(db: Database, chat: ChatId, sender: ContactId, since: int) -> int:
    """Return how many lines about messages a chat has from a sender since a time (ms)."""
    sql = """SELECT count(*) FROM messages WHERE chat = ? AND sender = ? AND seq = 0 AND kind = ?
        AND reply_to IS NOT NULL AND received_at > ?"""
    row = db.query_one(sql, (chat, sender, GroupNotice.KIND.number, since))
    return int(row[0]) if row else 0


def reports(db: Database, chat: ChatId, limit: int) -> list[MessageRow]:
    """Return the lines of a chat, the oldest first, that say that somebody else reports a message which is still shown
    here.
    """
    rows = db.query(_REPORTS, (chat, GroupNotice.KIND.number, ME, limit))
    return [made(row) for row in rows]


def with_id(db: Database, id: MessageId) -> list[MessageRow]:
    """Return all messages with that id: one, unless a peer has reused an id from another chat."""
    return [made(row) for row in db.query(_SELECT + "WHERE id = ? ORDER BY pk", (id,))]


def find(db: Database, prefix_hex: str) -> MessageRow:
    """Return the message whose id begins with these hex digits. Raises `NoSuchMessage`, or `AmbiguousName` with the
    ids.

    Whoever has a message can reuse its id for one of their own. The id then means the one that was here first: nobody
    can reuse an id before it was sent.
    """
    low, high = _range(prefix_hex)
    found = db.query(
        "SELECT id, min(pk) FROM messages WHERE id BETWEEN ? AND ? GROUP BY id LIMIT ?", (low, high, _SOME)
    )
    if not found:
        raise NoSuchMessage
    if len(found) > 1:
        raise AmbiguousName("That id matches more than one", candidates=[bytes(id).hex() for id, _ in found])
    return made(db.query(_SELECT + "WHERE pk = ?", (found[0][1],))[0])


def _range(prefix_hex: str) -> tuple[bytes, bytes]:
    digits = prefix_hex.strip().lower()
    try:
        if not 0 < len(digits) <= 2 * ID_BYTES:
            raise NoSuchMessage
        low, high = (bytes.fromhex(digits.ljust(2 * ID_BYTES, filler)) for filler in "0f")
    except ValueError:
        raise NoSuchMessage from None
    return low, high


def page(db: Database, chat: ChatId, limit: int, before_pk: int | None = None) -> list[MessageRow]:
    """Return the newest messages of a chat, or the newest before the one with `before_pk`; newest last."""
    rows = _rows(db, _NEWEST, (chat, limit)) if before_pk is None else _rows(db, _BEFORE, (chat, limit, before_pk))
    return rows[::-1]


def page_after(db: Database, chat: ChatId, limit: int, pk: int) -> list[MessageRow]:
    """Return the oldest messages of a chat after the one with `pk`, in the chat's order."""
    return _rows(db, _AFTER, (chat, limit, pk))


def page_around(db: Database, chat: ChatId, limit: int, row: MessageRow) -> list[MessageRow]:
    """Return a message of a chat with those around it, `limit` in all, half of them before it if there are so many."""
    before, after = page(db, chat, limit - 1, row.pk), page_after(db, chat, limit - 1, row.pk)
    earlier = max(limit // 2, limit - 1 - len(after))
    kept = before[-earlier:] if earlier else []
    return [*kept, row, *after[: limit - 1 - len(kept)]]


def page_between(
    db: Database,
    chat: ChatId,
    limit: int,
    *,
    first: MessageRow | None = None,
    end: MessageRow | None = None,
    after: MessageRow | None = None,
    before: MessageRow | None = None,
) -> list[MessageRow]:
    """Return messages of a chat from `first` on, with the late ones right before it, up to but without `end`, and
    strictly between `after` and `before`: the oldest of them if there is a beginning, else the newest.
    """
    low = max(row.place for row in (first, after) if row is not None) if first or after else 0
    high = min(2**62, *([end.place - 1] if end else []), *([before.place] if before else []), 2**62)
    keys = [
        bound if row is None else (row.place, row.seq, row.pk)
        for row, bound in ((after, (0, 0, 0)), (before, (2**62, 0, 0)))
    ]
    forwards = first is not None or after is not None
    rows = _rows(db, _BETWEEN.format(order="ASC" if forwards else "DESC"), (chat, limit, low, high, *keys[0], *keys[1]))
    return rows if forwards else rows[::-1]


def find_in(db: Database, chat: ChatId, prefix_hex: str) -> MessageRow:
    """Return the message as `find` does, but in one chat, so that nobody in another chat can occupy the id; of two with
    one id, the contact's.
    """
    low, high = _range(prefix_hex)
    found = db.query(
        # the plus makes SQLite search by id and not go through the whole chat
        _SELECT + "WHERE id BETWEEN ? AND ? AND +chat = ? ORDER BY sender = x'', pk LIMIT ?",
        (low, high, chat, _SOME),
    )
    rows = [made(row) for row in found]
    if not rows:
        raise NoSuchMessage
    ids = {row.id for row in rows}
    if len(ids) > 1:
        raise AmbiguousName("That id matches more than one", candidates=sorted(id.hex() for id in ids))
    return rows[0]


def since(db: Database, chat: ChatId | None, pk: int, limit: int | None = None) -> list[MessageRow]:
    """Return the messages that were saved after the one with `pk`, in that order; of one chat or of all. No pk is used
    twice.
    """
    return _saved(db, chat, pk, -1 if limit is None else limit, "ASC")


def newest(db: Database, chat: ChatId | None, limit: int) -> list[MessageRow]:
    """Return the messages that were saved last, of one chat or of all, in the order in which they were saved."""
    return _saved(db, chat, 0, limit, "DESC")[::-1]


def _saved(db: Database, chat: ChatId | None, after_pk: int, limit: int, order: str) -> list[MessageRow]:
    if chat is None:
        return _rows(db, _SELECT + f"WHERE pk > ? ORDER BY pk {order} LIMIT ?", (after_pk, limit))
    return _rows(db, _SAVED_IN_CHAT.format(order=order), (chat, after_pk, limit))


def _rows(db: Database, sql: str, values: Sequence[Value]) -> list[MessageRow]:
    """Return the messages of a statement that begins with `_SELECT`. If one is on a damaged page, the others are
    returned all the same, since their order and pks are in an index.
    """
    try:
        return [made(row) for row in db.query(sql, values)]
    except DatabaseDamaged:
        indexed_sql = sql if _INDEXED in sql else sql.replace("FROM messages ", f"FROM messages {_INDEXED} ", 1)
        return list(readable(db, db.query(indexed_sql.replace(_COLUMNS, "pk"), values)))


def readable(db: Database, pks: Iterable[Row]) -> Iterator[MessageRow]:
    """Yield the messages of rows that hold a pk, without those on damaged pages."""
    for (pk,) in pks:
        with suppress(DatabaseDamaged):
            yield from (made(row) for row in db.query(_SELECT + "WHERE pk = ?", (pk,)))


def mine(db: Database, chat: ChatId, ids: Iterable[MessageId]) -> list[MessageRow]:
    """Return our own messages with these ids in a chat: those that a receipt from there may be about."""
    found = (get(db, chat, ME, id) for id in ids)
    return [row for row in found if row is not None]


def set_state(
    db: Database,
    chat: ChatId,
    ids: Iterable[MessageId],
    state: DeliveryState,
    at: int,
    *,
    came_from: Collection[DeliveryState],
    route: Route | None = None,
) -> list[MessageId]:
    """Change our messages of a chat to `state`, if they are in one of the states `came_from`; return the ids that
    changed.

    `at` (ms) is saved as the time of that state (stored, delivered, read), the first time only. A `route` is saved if
    given.
    """
    ids = list(dict.fromkeys(ids))
    if not ids:
        return []
    assign, where, values = transition(state, at, came_from, route)
    sql = (
        f"UPDATE messages SET {assign} WHERE id IN {ID_LIST.format(':ids')} AND +chat = :chat AND +sender = x''"
        f" AND {where} RETURNING id"
    )
    moved = {id for (id,) in db.query(sql, {**values, "chat": chat, "ids": packed(ids)})}
    return [id for id in ids if id in moved]


def transition(
    state: DeliveryState, at: int, came_from: Collection[DeliveryState], route: Route | None
) -> tuple[str, str, dict[str, Value]]:
    """Return the SQL for changing a row to `state` at `at`: the assignments, the condition, and their values."""
    time = _TIME_OF.get(state)
    origins: dict[str, Value] = {f"from{number}": origin.value for number, origin in enumerate(came_from)}
    assign = "state = :state, route = coalesce(:route, route)" + (f", {time} = coalesce({time}, :at)" if time else "")
    values = {"state": state.value, "route": None if route is None else route.value, "at": at, **origins}
    return assign, f"state IN ({', '.join(':' + name for name in origins)})", values


def delete(db: Database, pk: int) -> bool:
    """Delete a message with its index entries; return False if it does not exist. Until `db.checkpoint()` the
    write-ahead log contains it.
    """
    row = db.query_one("SELECT text, chat, sender, seq, id FROM messages WHERE pk = ?", (pk,))
    if row is None:
        return False
    text, chat, sender, seq, id = row
    search_backlog.remove(db, [(pk, chat, sender, text)])
    db.execute("DELETE FROM messages WHERE pk = ?", (pk,))
    db.execute(_ERASE, (chat, sender, seq, _mark(id)))
    return True


def reword(db: Database, row: MessageRow, text: str) -> None:
    """Change the text of a line that was made here."""
    search_backlog.remove(db, [(row.pk, row.chat, row.sender, row.text)])
    db.execute("UPDATE messages SET text = ? WHERE pk = ?", (text, row.pk))
    search_backlog.put_back(db, row.pk, row.chat, row.sender, text)


def move(db: Database, pk: int, chat: ChatId, seq: int) -> None:
    """Move a message of ours to another chat, keeping its id and its place in time."""
    ((before, sender, text),) = db.query("SELECT chat, sender, text FROM messages WHERE pk = ?", (pk,))
    db.execute("UPDATE messages SET chat = ?, seq = ? WHERE pk = ?", (chat, seq, pk))
    db.execute("UPDATE files SET chat = ? WHERE message = ?", (chat, pk))
    search_backlog.remove(db, [(pk, before, sender, text)])
    search_backlog.put_back(db, pk, chat, sender, text)


def clear(db: Database, chat: ChatId, up_to: int = MAX_PK, at_most: int = MAX_PK, *, remember: bool = True) -> bool:
    """Delete at most `at_most` messages of a chat up to the pk `up_to`, as `delete` does; return whether that was all.
    Until `db.checkpoint()` the write-ahead log contains them. remember: whether to remember their ids, so that none of
    them is accepted again.
    """
    rows = db.query(_CLEARED, (chat, up_to, min(at_most, MAX_PK - 1) + 1))
    if len(rows) > search_backlog.MAX_TAKEN_OUT:
        search_backlog.begin_anew(db)
    gone = rows[:at_most]
    search_backlog.remove(db, [(pk, chat, sender, text) for pk, sender, _, _, text in gone])
    if remember:
        db.executemany(_ERASE, [(chat, sender, seq, _mark(id)) for _, sender, seq, id, _ in gone])
    db.executemany("DELETE FROM messages WHERE pk = ?", [(row[0],) for row in gone])
    return len(gone) == len(rows)


def forget_chat(db: Database, chat: ChatId) -> None:
    """Delete all messages of a chat that can receive no more, the remarks that wait for messages of it, and the ids of
    those deleted earlier.
    """
    _remove_all(db, chat)
    db.execute("DELETE FROM erased WHERE chat = ?", (chat,))
    db.execute("DELETE FROM waiting WHERE chat = ?", (chat,))


def _remove_all(db: Database, chat: ChatId) -> None:
    ((count,),) = db.query("SELECT count(*) FROM messages WHERE chat = ?", (chat,))
    if count > search_backlog.MAX_TAKEN_OUT:
        search_backlog.begin_anew(db)
    else:
        rows = db.query("SELECT pk, sender, text FROM messages WHERE chat = ?", (chat,))
        search_backlog.remove(db, [(pk, chat, sender, text) for pk, sender, text in rows])
    db.execute("DELETE FROM messages WHERE chat = ?", (chat,))


def made(row: Row) -> MessageRow:
    """Return the message in a row of `columns`."""
    values = list(row)
    values[_STATE] = _STATES[values[_STATE]]
    values[_ROUTE] = _ROUTES[values[_ROUTE]]
    return MessageRow._make(values)  # called a thousand times for a list of a thousand chats


def _mark(id: bytes) -> bytes:
    # 8 bytes are enough to distinguish a repeated message from another one with the same number.
    return hashlib.blake2b(id, digest_size=8, person=b"p2pchat1 erased").digest()
