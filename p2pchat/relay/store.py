"""The relay's disk: blobs by queue, and nothing else. SQLite, its own file, nothing of a node's.

* `synchronous=FULL`: a deposit is acknowledged after the commit, and then survives a power cut.
* `secure_delete=ON` and a TRUNCATE checkpoint after writes: a seized disk does not hold what was fetched.
* Nothing on disk says in which order blobs of different queues came, so that nothing says which queues one person fills
  at the same time: rows lie by queue, times are whole hours, and pages of the file are given out in no order.
* Places grow whatever happens. They are an epoch and a count within the queue. An epoch begins with an hour or with the
  process, and then with the minute, so that a store from an old copy goes on above what it gave out later; the disk
  holds the last one that was used.

How much a queue holds is counted in memory, from the disk at the start.
"""

from __future__ import annotations

import errno
import os
import random
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from p2pchat.core.envelope import BUCKETS, envelope_id
from p2pchat.core.mailbox import BAD_STAMP, DONE, HOUR_MS, QUEUE_FULL, RELAY_FULL
from p2pchat.errors import DatabaseDamaged, DatabaseNewer, DiskFull, P2PChatError, ProfileError

SCHEMA = 1
A_SLICE = 1000
"""Blobs that `expire` removes in one transaction."""
_MINUTE_MS = 60_000
_SUB_BITS = 6  # epochs in a minute
_COUNT_BITS = 30
_STEP = 16
_MOST_COUNTED = 1 << 16  # queues whose count of this epoch is remembered
_SCATTERED = 1024  # pages by which the file grows
_MOST = (1 << 63) - 1  # SQLite's integers are signed
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

_SETTINGS = (
    "page_size = 4096",  # a blob of 4,096 bytes is one page and a little; larger ones cost more at every commit
    "journal_mode = WAL",
    "synchronous = FULL",
    "secure_delete = ON",
    "temp_store = MEMORY",
    "cache_size = -16384",  # 16 MB
    "wal_autocheckpoint = 16384",  # 64 MB: each costs several fsyncs
)
_TABLES = """
CREATE TABLE blobs (
    qid BLOB NOT NULL,
    place INTEGER NOT NULL,
    name BLOB NOT NULL, -- the hash of the blob: the same one is kept once a queue
    expires INTEGER NOT NULL, -- in hours since the epoch
    size INTEGER NOT NULL,
    blob BLOB NOT NULL,
    PRIMARY KEY (qid, place)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX blobs_by_name ON blobs (qid, name, size); -- the size, to count without reading blobs
CREATE INDEX blobs_by_expiry ON blobs (expires, name);
CREATE TABLE places (epoch INTEGER NOT NULL) STRICT; -- the last that was used
INSERT INTO places VALUES (0);
CREATE TABLE spare (number INTEGER PRIMARY KEY, page BLOB NOT NULL) STRICT; -- see _scatter; always empty
"""
_SYSTEM = random.SystemRandom()


@dataclass(frozen=True)
class Quota:
    """How much a queue, a box and all together may hold; with less than `least_free` on the disk nothing is kept."""

    queue_blobs: int = 16_384
    queue_bytes: int = 64 << 20
    box_blobs: int = 8
    total_bytes: int = 4 << 30
    least_free: int = 64 << 20


class Deposit(NamedTuple):
    """A blob for a queue until an hour. `box`: its queue is one that nobody can empty. `spent`: its stamp was used."""

    qid: bytes
    blob: bytes
    expires: int
    box: bool = False
    spent: bool = False


class Kept(NamedTuple):
    """What became of a deposit: a code of the protocol, and its place where it is 0. `new`: it was not there before."""

    code: int
    place: int = 0
    new: bool = False


@dataclass(slots=True)
class _Held:
    blobs: int = 0
    size: int = 0


@dataclass
class MailboxStore:
    """The open store; one thread at a time. Whatever raises has changed nothing."""

    path: Path
    quota: Quota
    _connection: sqlite3.Connection
    _held: dict[bytes, _Held] = field(default_factory=dict)
    _blobs: int = 0
    _size: int = 0
    _epoch: int = 0
    _used: int = 0
    _counts: dict[bytes, int] = field(default_factory=dict)
    _written: bool = False
    _undo: list[tuple[bytes, int, int]] = field(default_factory=list)

    @classmethod
    def open(cls, path: Path, quota: Quota, now: int) -> MailboxStore:
        """Open or make the store at `path`; `now` in ms. Raises DatabaseDamaged, DatabaseNewer or ProfileError."""
        with _translated():
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
            connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
            try:
                _set_up(connection)
                store = cls(path, quota, connection)
                store._count(now)
            except BaseException:
                connection.close()
                raise
        return store

    @property
    def blobs(self) -> int:
        """How many blobs there are."""
        return self._blobs

    @property
    def size(self) -> int:
        """How many bytes they have."""
        return self._size

    @property
    def queues(self) -> int:
        """How many queues hold something."""
        return len(self._held)

    def change(self, deposits: Sequence[Deposit], deletes: Mapping[bytes, int], now: int) -> list[Kept]:
        """In one transaction: keep what the quotas allow, then remove, of each queue, everything up to a place.

        Raises DiskFull, DatabaseDamaged or another P2PChatError; `now` in ms.
        """
        with self._transaction():
            roomy = self._has_room()
            if deposits and roomy:
                self._scatter(sum(len(one.blob) // BUCKETS[0] + 1 for one in deposits))
            kept = [self._put(one, now, roomy) for one in deposits]
            if self._epoch > self._used:
                self._connection.execute("UPDATE places SET epoch = ?", (self._epoch,))
            for qid, upto in deletes.items():
                self._remove("qid = ? AND place <= ?", (qid, min(upto, _MOST)))
        self._used = self._epoch
        return kept

    def fetch(self, qid: bytes, after: int, most: int, most_bytes: int) -> list[tuple[int, bytes]]:
        """(place, blob) behind `after`, in order: at most so many, and so many bytes unless it is only one."""
        found: list[tuple[int, bytes]] = []
        size = 0
        with _translated():
            cursor = self._connection.execute(
                "SELECT place, blob FROM blobs WHERE qid = ? AND place > ? ORDER BY place LIMIT ?",
                (qid, min(after, _MOST), most),
            )
            for place, blob in cursor:
                size += len(blob)
                if found and size > most_bytes:
                    break
                found.append((place, blob))
            cursor.close()
        return found

    def holds_behind(self, qid: bytes, after: int) -> bool:
        """Whether the queue has anything behind `after`."""
        with _translated():
            query = "SELECT 1 FROM blobs WHERE qid = ? AND place > ? LIMIT 1"
            return self._connection.execute(query, (qid, min(after, _MOST))).fetchone() is not None

    def expire(self, now: int) -> int:
        """Remove what is past its time, at most `A_SLICE`; how many blobs it were."""
        before = self._blobs
        with self._transaction():
            self._remove(
                "(qid, place) IN (SELECT qid, place FROM blobs WHERE expires <= ? ORDER BY expires LIMIT ?)",
                (now // HOUR_MS, A_SLICE),
            )
        return before - self._blobs

    def checkpoint(self) -> None:
        """Cut the write-ahead log to nothing if anything was written: it holds what was deleted, and in which order
        everything came.
        """
        if self._written:
            with _translated():
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            self._written = False

    def probe(self) -> None:
        """Write what is there already, to see whether writing works."""
        with self._transaction():
            self._connection.execute("UPDATE places SET epoch = ?", (self._used,))

    def close(self) -> None:
        """Checkpoint and close."""
        with _translated():
            self._connection.close()  # SQLite's own checkpoint at the end removes the log

    # --- inside

    def _put(self, one: Deposit, now: int, roomy: bool) -> Kept:
        name = envelope_id(one.blob)
        refusal = BAD_STAMP if one.spent else self._refusal(one, roomy)
        if refusal == DONE:
            place = self._next_place(one.qid, now)
            expires = max(one.expires, now // HOUR_MS + 1)
            made = self._connection.execute(
                "INSERT INTO blobs (qid, place, name, expires, size, blob) VALUES (?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (qid, name, size) DO NOTHING",
                (one.qid, place, name, expires, len(one.blob), one.blob),
            )
            if made.rowcount == 1:
                self._add(one.qid, 1, len(one.blob))
                return Kept(DONE, place, new=True)
        known = self._connection.execute(
            "SELECT place FROM blobs WHERE qid = ? AND name = ?", (one.qid, name)
        ).fetchone()
        return Kept(refusal) if known is None else Kept(DONE, known[0])

    def _refusal(self, one: Deposit, roomy: bool) -> int:
        held = self._held.get(one.qid)
        most = self.quota.box_blobs if one.box else self.quota.queue_blobs
        if held and (held.blobs >= most or held.size + len(one.blob) > self.quota.queue_bytes):
            return QUEUE_FULL
        if not roomy:
            return RELAY_FULL
        if self._size + len(one.blob) > self.quota.total_bytes and not self._make_room(len(one.blob), one.expires):
            return RELAY_FULL
        return DONE

    def _has_room(self) -> bool:
        disk = os.statvfs(self.path)
        return disk.f_bavail * disk.f_frsize >= self.quota.least_free

    def _make_room(self, size: int, expires: int) -> bool:
        """Give up blobs whose time is nearly over for one that has longer to live."""
        freed = 0
        victims: list[tuple[bytes, int]] = []
        for qid, place, length in self._connection.execute(
            "SELECT qid, place, size FROM blobs WHERE expires < ? ORDER BY expires, name LIMIT ?",
            (expires, BUCKETS[-1] // BUCKETS[0]),
        ).fetchall():
            victims.append((qid, place))
            freed += length
            if freed >= size:
                for victim in victims:
                    self._remove("qid = ? AND place = ?", victim)
                return True
        return False

    def _scatter(self, pages: int) -> None:
        """Have so many free pages in the file, in no order. SQLite gives out pages of a growing file one after the
        other, and whoever reads the disk would see in which order blobs came that still lie there.
        """
        if self._connection.execute("PRAGMA freelist_count").fetchone()[0] >= pages:
            return
        numbers = list(range(max(pages, _SCATTERED)))
        self._connection.executemany("INSERT INTO spare VALUES (?, zeroblob(4096))", ((one,) for one in numbers))
        _SYSTEM.shuffle(numbers)
        self._connection.executemany("DELETE FROM spare WHERE number = ?", ((one,) for one in numbers))

    def _remove(self, where: str, values: Sequence[object]) -> None:
        for qid, size in self._connection.execute(
            f"DELETE FROM blobs WHERE {where} RETURNING qid, size", values
        ).fetchall():
            self._add(qid, -1, -size)

    def _add(self, qid: bytes, blobs: int, size: int) -> None:
        self._written = True
        self._undo.append((qid, blobs, size))
        self._tally(qid, blobs, size)

    def _tally(self, qid: bytes, blobs: int, size: int) -> None:
        held = self._held.setdefault(qid, _Held())
        held.blobs += blobs
        held.size += size
        self._blobs += blobs
        self._size += size
        if not held.blobs:
            del self._held[qid]

    def _next_place(self, qid: bytes, now: int) -> int:
        epoch = now // HOUR_MS * (HOUR_MS // _MINUTE_MS) << _SUB_BITS
        # the step hides from whoever has the disk how much a queue held that is not there any more
        step = 1 + _SYSTEM.randrange(_STEP)
        count = self._counts.get(qid, 0) + step
        if epoch > self._epoch or count >> _COUNT_BITS or len(self._counts) >= _MOST_COUNTED:
            self._epoch = max(epoch, self._epoch + 1)
            self._counts.clear()
            count = step
        self._counts[qid] = count
        return self._epoch << _COUNT_BITS | count

    def _count(self, now: int) -> None:
        for qid, blobs, size in self._connection.execute(
            "SELECT qid, count(*), sum(size) FROM blobs INDEXED BY blobs_by_name GROUP BY qid"
        ):
            self._tally(qid, blobs, size)
        (self._used,) = self._connection.execute("SELECT epoch FROM places").fetchone()
        # the next minute: whatever this minute's places were in a later life of an old copy, they are smaller
        self._epoch = max(self._used + 1, now // _MINUTE_MS + 1 << _SUB_BITS)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._undo.clear()
        with _translated():
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    if self._connection.in_transaction:
                        self._connection.execute("ROLLBACK")
                for qid, blobs, size in reversed(self._undo):
                    self._tally(qid, -blobs, -size)
                raise


def _set_up(connection: sqlite3.Connection) -> None:
    for setting in _SETTINGS:
        connection.execute(f"PRAGMA {setting}").fetchall()
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA:
        raise DatabaseNewer("The relay's store was written by a newer p2pchat")
    if version == 0:
        connection.executescript(f"BEGIN;{_TABLES}PRAGMA user_version = {SCHEMA};COMMIT;")
    if connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
        raise _damaged()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise _meaning(error) from error
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise DiskFull from error
        raise ProfileError(f"Cannot use the relay's data: {error.strerror}") from error


def _meaning(error: sqlite3.Error) -> P2PChatError:
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:
        case sqlite3.SQLITE_IOERR | sqlite3.SQLITE_FULL:
            return DiskFull("The relay's disk is full or failing", hint="Deposits are turned away; make room.")
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_ERROR:
            return _damaged()
        case _:
            return P2PChatError("The relay's store cannot be used", hint="Is another relay using it? Who owns it?")


def _damaged() -> DatabaseDamaged:
    return DatabaseDamaged("The relay's store is damaged", hint="Move it away; senders deposit again.")
