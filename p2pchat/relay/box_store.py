"""The relay's store of file boxes: the blobs of files, by box and name, apart from the store of messages.

* An SQLite file has, for each blob, box, name, the hour in which it expires, and its slot in the file of `blob_slots`.
* A blob is on the disk before the transaction that says where: a power cut leaves no name without its blob.
* A slot is in the table `loose` before anything is written to it, and from the transaction that deletes its blob until
  it was overwritten. So whatever a power cut leaves behind is overwritten at the next start.
* Nothing on the disk reveals in which order blobs arrived: rows are ordered by box and name, times are whole hours, and
  slots are taken at random.

Space is shared as that of messages is (`holdings`), among those who put files here.
"""

from __future__ import annotations

import logging
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from p2pchat.core.envelope import envelope_id
from p2pchat.core.files import BLOB_BYTES
from p2pchat.core.mailbox import BAD_STAMP, DONE, QUEUE_FULL, RELAY_FULL
from p2pchat.errors import DatabaseNewer, P2PChatError
from p2pchat.lib.times import HOUR_MS
from p2pchat.relay import disk, store_files
from p2pchat.relay.blob_slots import GROWTH_SLOTS, BlobSlots
from p2pchat.relay.disk import translated
from p2pchat.relay.holdings import Holdings, Source

MAX_EXPIRED_AT_ONCE = 256
"""Blobs that `expire` removes at once: others wait meanwhile."""
MAX_OVERWRITTEN_AT_ONCE = 256
"""Slots that `tidy` overwrites at once, 16 MiB."""
_SCHEMA = 1
_TABLES = """
CREATE TABLE boxed (
    qid BLOB NOT NULL,
    name BLOB NOT NULL,
    expires INTEGER NOT NULL, -- in hours of the relay's own time
    slot INTEGER NOT NULL,
    PRIMARY KEY (qid, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX boxed_by_expiry ON boxed (expires);
CREATE INDEX boxed_by_age ON boxed (qid, expires);
CREATE TABLE loose (slot INTEGER PRIMARY KEY) STRICT; -- hold no blob, and may hold bytes of one
"""
_SYSTEM = random.SystemRandom()

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BoxQuota:
    """The bytes of blobs in all file boxes and in one. 0: there are none."""

    total_bytes: int = 0
    box_bytes: int = 0


class BoxDeposit(NamedTuple):
    """A blob of 65,536 bytes to be kept in a box until an hour. spent: its stamp was already used. source: where it
    comes from (`holdings`). stamp: that of the deposit, 0 without one.
    """

    qid: bytes
    blob: bytes
    expires: int
    spent: bool = False
    source: Source = ()
    stamp: int = 0


class BoxResult(NamedTuple):
    """The result of a deposit: a code of the protocol. new: it was not there before."""

    code: int
    new: bool = False


@dataclass
class BoxStore:
    """The open store, for one thread at a time. A method that raises has changed nothing.

    quota: as `limit` has set it last. spare: returns how many bytes must be left on the disk for others.
    """

    quota: BoxQuota
    _connection: sqlite3.Connection
    _slots: BlobSlots
    _holdings: Holdings
    _folder: Path
    _spare: Callable[[], int]
    _loose: list[int] = field(default_factory=list)
    _stale: set[int] = field(default_factory=set)
    """Those of `_loose` that may hold something, for as long as they are not overwritten."""
    _undo: list[tuple[bytes, int, Source]] = field(default_factory=list)
    _written: bool = False

    @classmethod
    def open(cls, path: Path, quota: BoxQuota, now: int, spare: Callable[[], int] = lambda: 0) -> BoxStore:
        """Open or create the store at `path`, and a file with the blobs beside it; `now` in ms. Blobs are not read.

        Raises DatabaseDamaged, DatabaseNewer, DiskFull or ProfileError.
        """
        connection = disk.opened(path, _prepare)
        try:
            slots = BlobSlots(store_files.slots(path))
        except BaseException:
            connection.close()
            raise
        store = cls(quota, connection, slots, Holdings(quota.total_bytes), path.parent, spare)
        try:
            with translated():
                store._count(now)
        except BaseException:
            store.close()
            raise
        return store

    @property
    def blobs(self) -> int:
        """The number of blobs."""
        return self._holdings.blobs

    @property
    def size(self) -> int:
        """The bytes of all blobs."""
        return self._holdings.size

    @property
    def boxes(self) -> int:
        """The number of boxes that are not empty."""
        return self._holdings.queues

    def holds(self, qid: bytes) -> bool:
        """Return whether a box is not empty. Any thread may call it."""
        return self._holdings.holds(qid)

    def read_by_owner(self, qid: bytes) -> None:
        """Note that the owner of a box asks for what is in it."""
        self._holdings.read(qid)

    def change(
        self, deposits: Sequence[BoxDeposit], forgotten: Sequence[tuple[bytes, Sequence[bytes]]], now: int
    ) -> list[BoxResult]:
        """Keep the blobs that the quotas allow; then delete those with these names, as (box, names). All of it is one
        transaction. now: in ms.

        Raises DiskFull, DatabaseDamaged or another P2PChatError.
        """
        self._holdings.hour = max(self._holdings.hour, now // HOUR_MS)
        ready = self._ready(len(deposits))
        with self._transaction() as changes:
            results = [self._put(deposit, now, changes, ready) for deposit in deposits]
            for qid, names in forgotten:
                for name in names if self.holds(qid) else ():
                    self._remove("qid = ? AND name = ?", (qid, name), changes)
            if changes.used:
                self._slots.sync()
        return results

    def have(self, qid: bytes, names: Sequence[bytes]) -> list[bool]:
        """Return for each name whether its blob is in the box."""
        if not self.holds(qid):
            return [False] * len(names)
        query = f"SELECT name FROM boxed WHERE qid = ? AND name IN ({','.join('?' * len(names))})"
        with translated():
            there = {name for (name,) in self._connection.execute(query, (qid, *names))}
        return [name in there for name in names]

    def get(self, qid: bytes, name: bytes) -> bytes | None:
        """Return a blob; None where it is not there. One that the disk has changed is deleted, so that it can be put
        again.
        """
        if not self.holds(qid):
            return None
        with translated():
            slot = self._slot(qid, name)
        if slot is None:
            return None
        blob = self._slots.read(slot)
        if len(blob) == BLOB_BYTES and envelope_id(blob) == name:
            return blob
        with self._transaction() as changes:
            self._remove("qid = ? AND name = ?", (qid, name), changes)
        return None

    def expire(self, now: int) -> int:
        """Delete blobs that have expired, at most `MAX_EXPIRED_AT_ONCE`, and return their number."""
        before = self.blobs
        self._holdings.hour = max(self._holdings.hour, now // HOUR_MS)
        with self._transaction() as changes:
            expired = "SELECT qid, name FROM boxed WHERE expires <= ? ORDER BY expires LIMIT ?"
            self._remove(f"(qid, name) IN ({expired})", (now // HOUR_MS, MAX_EXPIRED_AT_ONCE), changes)
        return before - self.blobs

    def tidy(self) -> bool:
        """Overwrite what was deleted, at most `MAX_OVERWRITTEN_AT_ONCE` slots, and truncate the write-ahead log, which
        has the order of what happened. A large file in which nothing is left gives its space back. Return whether more
        is to be overwritten.
        """
        stale = list(islice(self._stale, MAX_OVERWRITTEN_AT_ONCE))
        if stale:
            self._slots.overwrite(stale)
            with self._transaction():
                self._connection.executemany("DELETE FROM loose WHERE slot = ?", ((slot,) for slot in stale))
            self._stale.difference_update(stale)
            done = set(stale)
            self._loose = [slot for slot in self._loose if slot not in done]
            self._slots.overwritten(stale)
        if not self.blobs and not self._stale and self._slots.slots > GROWTH_SLOTS:
            with self._transaction():
                self._connection.execute("DELETE FROM loose")
            self._loose.clear()
            self._slots.clear()
        if self._written:
            with translated():
                busy = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            self._written = bool(busy)
        return bool(self._stale)

    @classmethod
    def open_or_none(cls, path: Path, quota: BoxQuota, now: int, spare: Callable[[], int]) -> BoxStore | None:
        """Open the store as `open` does. Return None where there is to be none (`quota` is 0), and then delete what is
        there; and where it cannot be used, which is logged: a relay goes on without file boxes.
        """
        if not quota.total_bytes:
            store_files.remove_boxes(path)
            return None
        try:
            return cls.open(path, quota, now, spare)
        except P2PChatError as error:
            log.error("there are no file boxes: %s", error.line())
            return None

    def limit(self, quota: BoxQuota) -> None:
        """Change the quotas; what is already stored stays. Call it in the thread that changes the store, or while none
        does.
        """
        self.quota = quota
        self._holdings.total = quota.total_bytes

    def close(self) -> None:
        """Overwrite what was deleted, and close the files."""
        try:
            with suppress(Exception):  # it is done at the next start
                while self.tidy():
                    pass
            with translated():
                self._connection.close()
        finally:
            self._slots.close()

    # --- inside

    def _put(self, deposit: BoxDeposit, now: int, changes: _Changes, ready: bool) -> BoxResult:
        name, expires = envelope_id(deposit.blob), max(deposit.expires, now // HOUR_MS + 1)
        row = self._connection.execute(
            "SELECT expires FROM boxed WHERE qid = ? AND name = ?", (deposit.qid, name)
        ).fetchone()
        if row is not None:
            if row[0] < expires:  # the depositor relies on the later time
                update = "UPDATE boxed SET expires = ? WHERE qid = ? AND name = ?"
                self._connection.execute(update, (expires, deposit.qid, name))
            return BoxResult(DONE)
        if deposit.spent:
            return BoxResult(BAD_STAMP)
        if self._holdings.of(deposit.qid)[1] + BLOB_BYTES > self.quota.box_bytes:
            return BoxResult(QUEUE_FULL)
        if not ready or not self._make_room(deposit, changes):
            return BoxResult(RELAY_FULL)
        slot = self._loose.pop(_SYSTEM.randrange(len(self._loose)))
        changes.used.append(slot)
        self._slots.write(slot, deposit.blob)
        self._connection.execute("INSERT INTO boxed VALUES (?, ?, ?, ?)", (deposit.qid, name, expires, slot))
        self._connection.execute("DELETE FROM loose WHERE slot = ?", (slot,))
        source = self._holdings.add(deposit.qid, BLOB_BYTES, deposit.source)
        self._undo.append((deposit.qid, BLOB_BYTES, source))
        return BoxResult(DONE, new=True)

    def _ready(self, count: int) -> bool:
        """Have so many loose slots; return False where the disk has no space for them."""
        missing = count - len(self._loose)
        if missing <= 0:
            return True
        with translated():
            while self._slots.empty < missing:
                if shutil.disk_usage(self._folder).free < self._spare() + GROWTH_SLOTS * BLOB_BYTES:
                    return False
                self._slots.grow()
        taken = self._slots.take(max(missing, GROWTH_SLOTS))
        try:
            with self._transaction():
                self._connection.executemany("INSERT INTO loose VALUES (?)", ((slot,) for slot in taken))
        except BaseException:
            self._slots.overwritten(taken)
            raise
        self._loose += taken
        return True

    def _make_room(self, deposit: BoxDeposit, changes: _Changes) -> bool:
        """Make room for a blob, if necessary by deleting blobs of those who hold most. Return False where none may
        be; then nothing has changed, since one always makes room for one.
        """
        if self.size + BLOB_BYTES <= self.quota.total_bytes:
            return True
        box = self._holdings.queue_to_shrink(BLOB_BYTES, deposit.source) if self.size else None
        if box is None:
            return False
        newest = "SELECT name FROM boxed WHERE qid = ?1 ORDER BY expires DESC LIMIT 1"
        self._remove(f"qid = ?1 AND name = ({newest})", (box,), changes)
        return self.size + BLOB_BYTES <= self.quota.total_bytes

    def _remove(self, where: str, values: Sequence[object], changes: _Changes) -> None:
        for qid, slot in self._connection.execute(
            f"DELETE FROM boxed WHERE {where} RETURNING qid, slot", values
        ).fetchall():
            self._connection.execute("INSERT INTO loose VALUES (?)", (slot,))
            changes.freed.append(slot)
            for source, part in self._holdings.remove(qid, BLOB_BYTES):
                self._undo.append((qid, -part, source))

    def _slot(self, qid: bytes, name: bytes) -> int | None:
        query = "SELECT slot FROM boxed WHERE qid = ? AND name = ?"
        row = self._connection.execute(query, (qid, name)).fetchone()
        return None if row is None else int(row[0])

    def _count(self, now: int) -> None:
        if self._connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            raise disk.damaged()
        for table in ("boxed", "loose"):  # if the file was cut short
            self._connection.execute(f"DELETE FROM {table} WHERE slot >= ?", (self._slots.slots,))
        self._holdings.begin(now // HOUR_MS)
        for qid, count in self._connection.execute("SELECT qid, count(*) FROM boxed GROUP BY qid"):
            self._holdings.add(qid, count * BLOB_BYTES, (), count)
        self._loose = [slot for (slot,) in self._connection.execute("SELECT slot FROM loose")]
        self._stale = set(self._loose)
        used = {slot for (slot,) in self._connection.execute("SELECT slot FROM boxed")}
        self._slots.begin(used.union(self._loose))

    @contextmanager
    def _transaction(self) -> Iterator[_Changes]:
        """Commit what is done within, or undo it."""
        self._undo.clear()
        changes = _Changes([], [])
        try:
            with translated():
                self._connection.execute("BEGIN IMMEDIATE")
                yield changes
                self._connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
            for qid, size, source in reversed(self._undo):
                if size > 0:
                    self._holdings.take_back(qid, size, source)
                else:
                    self._holdings.add(qid, -size, source)
            self._loose += changes.used
            self._stale.update(changes.used)
            raise
        self._written = True
        self._stale.difference_update(changes.used)
        self._loose += changes.freed
        self._stale.update(changes.freed)


class _Changes(NamedTuple):
    """The slots that a transaction fills, and those whose blobs it deletes: these are used again only after it."""

    used: list[int]
    freed: list[int]


def _prepare(connection: sqlite3.Connection) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > _SCHEMA:
        raise DatabaseNewer("The relay's store of files was written by a newer p2pchat")
    if not version:
        connection.executescript(f"BEGIN IMMEDIATE;{_TABLES}PRAGMA user_version = {_SCHEMA};COMMIT;")
