"""Salvage: making a new database from everything that can be read in a damaged one.

SQLCipher refuses a page whose HMAC does not verify, and with it what is on that page: some rows of a table, or the path
to a part of a table. So every table is walked from both ends of its key. Where both walks meet such a page, the range
of keys between them is halved again and again, until the rest is on unreadable pages. Indices and the search index are
built again from the rows.

What is kept of files lies beside the database, in files that this leaves alone. Where the row of one was unreadable,
its key is lost, and the node sweeps it away at its next start (`file_space`).

The damaged database is kept beside the new one, under another name.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from p2pchat.core.delivery import DeliveryState
from p2pchat.core.files import Layout
from p2pchat.errors import DatabaseDamaged, NoProfile
from p2pchat.lib.atomic_file import sync_folder
from p2pchat.store import database, files, meta, search_backlog
from p2pchat.store.database import Database, Row, Value
from p2pchat.store.search_index import document

MAX_FAILURES = 20_000
"""Failed reads in one table, about a millisecond each, after which the rest between two unreadable pages is given
up."""
MAX_FRUITLESS = 500
"""The same for a table of which nothing could be read so far."""
_BATCHES = (1, 512, 32, 1)
"""Rows read at once. It begins with one, since most reads between unreadable pages fail, and after a failure decreases
again."""
_SEARCH_INDEX = "messages_fts"
_KEY_PREFIX_BYTES = 8
_PREFIXES = 1 << 8 * _KEY_PREFIX_BYTES
_UNDELIVERED = (
    f"UPDATE messages SET state = '{DeliveryState.FAILED}' WHERE sender = x'' AND state = '{DeliveryState.SAVED}'"
    " AND NOT EXISTS (SELECT 1 FROM outbox WHERE msg_id = messages.id)"
)


@dataclass
class Salvaged:
    """The result. rows: the number kept, by table. incomplete: tables with unreadable pages. unsent: our messages that
    waited to be sent and now count as failed, because their outbox rows are lost. damaged: the path of the damaged
    database.
    """

    damaged: Path
    rows: dict[str, int] = field(default_factory=dict)
    incomplete: list[str] = field(default_factory=list)
    unsent: int = 0


def salvage(path: Path, key: bytes) -> Salvaged:
    """Replace the database at `path`, with a 32-byte key, by a new one with everything that can be read of it.

    Nobody else may have it open. A crash leaves the damaged database or the new one in place, never half of one. Raises
    NoProfile if there is none, DatabaseDamaged if not even its list of tables can be read, and DiskFull; nothing is
    replaced then.
    """
    if not path.exists():
        raise NoProfile(f"There is no database at {path}")
    draft, done = path.with_name(path.name + ".salvaged"), Salvaged(_free_name(path))
    with database.translated():
        database.remove(draft)
        try:
            with closing(_Reader(path, key)) as reader:
                reader.merge_log()
                _copy(reader, draft, key, done)
            Database.open(draft, key).close()  # migrates it, and proves that it can be opened
            os.link(path, done.damaged)
            os.replace(draft, path)
            sync_folder(path.parent)
        finally:
            database.remove(draft)
    return done


def _free_name(path: Path) -> Path:
    number = 1
    while (name := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    return name


class _Reader:
    """Reads a damaged database, replacing a connection that has met a damaged page."""

    def __init__(self, path: Path, key: bytes) -> None:
        self._path, self._key = path, key
        self._connection = database.connect(path, key)
        self.numbers: dict[str, int] = {}  # the highest rowid that each table has had, if the database records it

    def merge_log(self) -> None:
        """Checkpoint the write-ahead log. Pages are copied as they are, so damage does not prevent it."""
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def query(self, sql: str, values: Sequence[Value] = ()) -> list[Row]:
        """Return every row of a SELECT. Raises `DatabaseDamaged`."""
        try:
            rows: list[Row] = self._connection.execute(sql, values).fetchall()
        except database.SqlError as error:
            self._connection.close()
            self._connection = database.connect(self._path, self._key)
            raise database.meaning(error) from error
        return rows

    def close(self) -> None:
        self._connection.close()


@dataclass(frozen=True)
class _Table:
    """A table, and the columns `key` by which it is walked."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]

    def select(self, lower: Row | None, upper: Row | None, *, backwards: bool) -> str:
        """Return a SELECT for the rows strictly between two keys, with the key columns first."""
        marks = f"({', '.join('?' * len(self.key))})"
        bounds = [f"({', '.join(self.key)}) {sign} {marks}" for sign, key in ((">", lower), ("<", upper)) if key]
        where = f" WHERE {' AND '.join(bounds)}" if bounds else ""
        order = ", ".join(name + (" DESC" if backwards else "") for name in self.key)
        return f"SELECT {', '.join((*self.key, *self.columns))} FROM {self.name}{where} ORDER BY {order} LIMIT ?"


def _copy(reader: _Reader, draft: Path, key: bytes, done: Salvaged) -> None:
    version = int(reader.query("PRAGMA user_version")[0][0])
    if not 1 <= version <= len(database.migrations()):
        raise DatabaseDamaged
    with closing(database.connect_new(draft, key, version)) as fresh:
        fresh.execute("PRAGMA foreign_keys = OFF")
        fresh.execute("BEGIN IMMEDIATE")
        tables = _tables(fresh)
        with suppress(DatabaseDamaged):
            reader.numbers = dict(reader.query("SELECT name, seq FROM sqlite_sequence"))
        for table in tables:
            walk = _Walk(reader, table)
            done.rows[table.name] = _fill(fresh, table, walk.rows())
            if walk.incomplete:
                done.incomplete.append(table.name)
        _fill_in(fresh, {table.name for table in tables})
        while any(_drop_orphans(fresh, table.name) for table in tables):
            pass  # rows that belonged to those that were dropped
        if "file_parts" in done.incomplete:
            _count_chunks(fresh)
        _keep_numbering(reader, fresh)
        fresh.executemany(
            f"INSERT INTO {_SEARCH_INDEX} (rowid, text) VALUES (?, ?)",
            (
                (pk, document(text, chat, sender))
                for pk, text, chat, sender in fresh.execute("SELECT pk, text, chat, sender FROM messages").fetchall()
            ),
        )
        last = fresh.execute("SELECT coalesce(max(pk), 0) FROM messages").fetchone()[0]
        fresh.execute(meta.PUT, (search_backlog.INDEXED_TO, last.to_bytes(8, "big", signed=True)))
        done.unsent = fresh.execute(_UNDELIVERED).rowcount
        fresh.execute("COMMIT")
        fresh.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _tables(fresh: Any) -> list[_Table]:
    """Return the tables with our data, from the new database, whose schema is intact."""
    listed = fresh.execute("PRAGMA table_list").fetchall()
    tables = []
    for _, name, kind, _, without_rowid, _ in listed:
        if kind != "table" or name.startswith("sqlite_") or name.startswith(_SEARCH_INDEX):
            continue
        columns = fresh.execute(f"PRAGMA table_info({name})").fetchall()
        primary = sorted((place, column) for _, column, _, _, _, place in columns if place)
        key = tuple(column for _, column in primary) if without_rowid else ("rowid",)
        tables.append(_Table(name, tuple(column for _, column, *_ in columns), key))
    return tables


def _fill(fresh: Any, table: _Table, rows: Iterator[Row]) -> int:
    names, marks = ", ".join(table.columns), ", ".join("?" * len(table.columns))
    # only damage can make a row that violates a constraint
    statement = f"INSERT OR IGNORE INTO {table.name} ({names}) VALUES ({marks})"
    return sum(fresh.execute(statement, row[len(table.key) :]).rowcount for row in rows)


def _fill_in(fresh: Any, tables: Collection[str]) -> None:
    """Add missing rows that belong to a contact, so that what depends on them is kept: the first device, whose keys are
    then lost, and the chat. Delete a direct chat whose contact is lost.
    """
    if "devices" in tables:
        fresh.execute("INSERT OR IGNORE INTO devices (id, contact, created_at) SELECT id, id, created_at FROM contacts")
        fresh.execute(
            "INSERT OR IGNORE INTO chats (id, kind, created_at) SELECT id, 'direct', created_at FROM contacts"
        )
        fresh.execute("INSERT OR IGNORE INTO chats (id, kind, created_at) VALUES (zeroblob(8), 'notes', 0)")
        fresh.execute("INSERT OR IGNORE INTO chat_members SELECT id, id, created_at FROM contacts")
        fresh.execute("DELETE FROM chats WHERE kind = 'direct' AND id NOT IN (SELECT id FROM contacts)")


def _drop_orphans(fresh: Any, name: str) -> bool:
    """Delete rows that belong to an unreadable row; return whether there were any."""
    dropped = 0
    for _, _, parent, column, of_parent, *_ in fresh.execute(f"PRAGMA foreign_key_list({name})").fetchall():
        dropped += fresh.execute(
            f"DELETE FROM {name} WHERE {column} IS NOT NULL AND {column} NOT IN (SELECT {of_parent} FROM {parent})"
        ).rowcount
    return dropped > 0


def _count_chunks(fresh: Any) -> None:
    """Count again what is here of the files that are being fetched: some of it is not known any more."""
    for message, size in fresh.execute(
        "SELECT message, size FROM files WHERE NOT mine AND ended_at IS NULL"
    ).fetchall():
        parts = fresh.execute("SELECT part, slots FROM file_parts WHERE message = ?", (message,)).fetchall()
        done = files.chunks_in(Layout.of(size), parts)
        fresh.execute("UPDATE files SET done = ? WHERE message = ?", (done, message))


def _keep_numbering(reader: _Reader, fresh: Any) -> None:
    """Prevent the rowids of lost rows from being used again."""
    for name, number in reader.numbers.items():
        fresh.execute("DELETE FROM sqlite_sequence WHERE name = ?", (name,))
        fresh.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (name, number))


class _Walk:
    """A walk through one table of a damaged database."""

    def __init__(self, reader: _Reader, table: _Table) -> None:
        self._reader = reader
        self._table = table
        self._found = self._failures = 0
        self.incomplete = False

    def rows(self) -> Iterator[Row]:
        """Yield every row that can be read, with its key first; some may come twice."""
        waiting: list[tuple[Row | None, Row | None]] = [(None, None)]
        while waiting and self._failures < (MAX_FAILURES if self._found else MAX_FRUITLESS):
            lower, upper = waiting.pop()
            lower, whole = yield from self._from_one_end(lower, upper, backwards=False)
            if whole:
                continue
            upper, whole = yield from self._from_one_end(lower, upper, backwards=True)
            if whole:
                continue
            self.incomplete = True
            if (middle := self._between(lower, upper)) is not None:
                waiting += [(middle, upper), (lower, middle)]

    def _from_one_end(
        self, lower: Row | None, upper: Row | None, *, backwards: bool
    ) -> Generator[Row, None, tuple[Row | None, bool]]:
        """Yield rows until a page cannot be read; return the bound that was reached, and whether that was the end."""
        place = 0
        while place < len(_BATCHES):
            size = _BATCHES[place]
            sql = self._table.select(lower, upper, backwards=backwards)
            bounds = [value for key in (lower, upper) if key for value in key]
            try:
                rows = self._reader.query(sql, [*bounds, size])
            except DatabaseDamaged:
                self._failures += 1
                place = place + 1 if place else len(_BATCHES)
                continue
            self._found += len(rows)
            yield from rows
            if len(rows) < size:
                return None, True
            key = rows[-1][: len(self._table.key)]
            lower, upper = (lower, key) if backwards else (key, upper)
            place = place or 1
        return (upper if backwards else lower), False

    def _between(self, lower: Row | None, upper: Row | None) -> Row | None:
        """Return a key halfway between two keys if a page of the table may lie between them, else None."""
        if self._table.key == ("rowid",):
            first = lower[0] if lower else 0
            last = upper[0] if upper else max(self._reader.numbers.get(self._table.name, 0), first + 1_000) + 1
            return ((first + last) // 2,) if last - first > 1 else None
        ends = [key[0] if key else fallback for key, fallback in ((lower, b""), (upper, b"\xff" * _KEY_PREFIX_BYTES))]
        if not all(isinstance(end, bytes) for end in ends):
            return None  # text keys: such tables are small
        first, last = (int.from_bytes(end[:_KEY_PREFIX_BYTES].ljust(_KEY_PREFIX_BYTES, b"\0"), "big") for end in ends)
        # keys are random: n rows divide the key space evenly, and a readable page holds several
        if last - first <= _PREFIXES // (self._found + 1):
            return None
        middle = ((first + last) // 2).to_bytes(_KEY_PREFIX_BYTES, "big")
        return (middle, *(b"",) * (len(self._table.key) - 1))
