"""The relay's disk: blobs by queue, and nothing else. SQLite, its own file, nothing of a node's.

* `synchronous=FULL`: a deposit is acknowledged after the commit, and then survives a power cut.
* `secure_delete=ON` and a TRUNCATE checkpoint after deletes: a seized disk does not hold what was fetched.
* Times on disk are whole hours. A `place` begins with the minute, so that places grow across restarts without a record
  of queues that are empty; the rest of it is a count that begins anywhere.

How much a queue holds is counted in memory, from the disk at the start.
"""

from __future__ import annotations

import errno
import os
import random
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from p2pchat.core.envelope import envelope_id
from p2pchat.core.mailbox import DONE, QUEUE_FULL, RELAY_FULL
from p2pchat.errors import DatabaseDamaged, DatabaseNewer, DiskFull, P2PChatError, ProfileError

SCHEMA = 1
_MINUTE_BITS = 22
_STEP = 16
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

_TABLES = """
CREATE TABLE blobs (
    pk INTEGER PRIMARY KEY,
    qid BLOB NOT NULL,
    place INTEGER NOT NULL,
    name BLOB NOT NULL, -- the hash of the blob: the same one is kept once a queue
    expires INTEGER NOT NULL, -- in hours since the epoch
    blob BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX blobs_by_place ON blobs (qid, place);
CREATE UNIQUE INDEX blobs_by_name ON blobs (qid, name);
CREATE INDEX blobs_by_expiry ON blobs (expires);
"""


@dataclass(frozen=True)
class Quota:
    """How much one queue, one box and the whole relay may hold."""

    queue_blobs: int = 16_384
    queue_bytes: int = 64 << 20
    box_blobs: int = 8
    total_bytes: int = 4 << 30


class Deposit(NamedTuple):
    """A blob for a queue until an hour. `box`: its queue is one that nobody can empty."""

    qid: bytes
    blob: bytes
    expires: int
    box: bool


class Kept(NamedTuple):
    """What became of a deposit: a code of the protocol, and its place where it is 0. `new`: it was not there before."""

    code: int
    place: int = 0
    new: bool = False


@dataclass(slots=True)
class _Held:
    blobs: int = 0
    bytes: int = 0


@dataclass
class MailboxStore:
    """The open store; one thread at a time. Methods that write raise `DiskFull` with nothing changed."""

    path: Path
    quota: Quota
    _connection: sqlite3.Connection
    _held: dict[bytes, _Held] = field(default_factory=dict)
    _total: int = 0
    _last: int = 0
    _freed: bool = False

    @classmethod
    def open(cls, path: Path, quota: Quota, now: int) -> MailboxStore:
        """Open or make the store at `path`; `now` in ms. Raises DatabaseDamaged, DatabaseNewer or ProfileError."""
        with _translated():
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
            connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=64)
            try:
                _set_up(connection)
                store = cls(path, quota, connection)
                store._count()
            except BaseException:
                connection.close()
                raise
        # the next minute: whatever this minute's places were before a restart, they are smaller
        store._last = max(store._last, (now // 60_000 + 1) << _MINUTE_BITS)
        return store

    @property
    def blobs(self) -> int:
        """How many blobs there are."""
        return sum(held.blobs for held in self._held.values())

    @property
    def size(self) -> int:
        """How many bytes they have."""
        return self._total

    @property
    def queues(self) -> int:
        """How many queues hold something."""
        return len(self._held)

    def put(self, deposits: Sequence[Deposit], now: int) -> list[Kept]:
        """Keep what the quotas allow, in one transaction; `now` in ms."""
        hour = now // 3_600_000
        with self._transaction():
            return [self._put(one, now, hour) for one in deposits]

    def fetch(self, qid: bytes, after: int, most: int) -> list[tuple[int, bytes]]:
        """At most `most` (place, blob) behind `after`, in order."""
        with _translated():
            return self._connection.execute(
                "SELECT place, blob FROM blobs WHERE qid = ? AND place > ? ORDER BY place LIMIT ?", (qid, after, most)
            ).fetchall()

    def delete(self, deletes: Iterable[tuple[bytes, int]]) -> None:
        """Remove everything of a queue up to a place, for each (qid, place), in one transaction."""
        with self._transaction():
            for qid, upto in deletes:
                self._remove("qid = ? AND place <= ?", (qid, upto))

    def expire(self, now: int) -> int:
        """Remove what is past its time; how many blobs."""
        before = self.blobs
        with self._transaction():
            self._remove("expires <= ?", (now // 3_600_000,))
        return before - self.blobs

    def checkpoint(self) -> None:
        """Cut the write-ahead log to nothing if anything was deleted, so that it is gone from the disk."""
        if self._freed:
            with _translated():
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._freed = False

    def close(self) -> None:
        """Checkpoint and close."""
        with _translated():
            try:
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            finally:
                self._connection.close()

    # --- inside

    def _put(self, one: Deposit, now: int, hour: int) -> Kept:
        name = envelope_id(one.blob)
        known = self._connection.execute(
            "SELECT place FROM blobs WHERE qid = ? AND name = ?", (one.qid, name)
        ).fetchone()
        if known is not None:
            return Kept(DONE, known[0])
        held = self._held.get(one.qid) or _Held()
        most = self.quota.box_blobs if one.box else self.quota.queue_blobs
        if held.blobs >= most or held.bytes + len(one.blob) > self.quota.queue_bytes:
            return Kept(QUEUE_FULL)
        if self._total + len(one.blob) > self.quota.total_bytes and not self._make_room(len(one.blob), one.expires):
            return Kept(RELAY_FULL)
        place = self._next_place(now)
        self._connection.execute(
            "INSERT INTO blobs (qid, place, name, expires, blob) VALUES (?, ?, ?, ?, ?)",
            (one.qid, place, name, max(one.expires, hour + 1), one.blob),
        )
        self._add(one.qid, 1, len(one.blob))
        return Kept(DONE, place, new=True)

    def _make_room(self, size: int, expires: int) -> bool:
        """Give up blobs whose time is nearly over for one that has longer to live."""
        freed, victims = 0, []
        for pk, length in self._connection.execute(
            "SELECT pk, length(blob) FROM blobs WHERE expires < ? ORDER BY expires, pk LIMIT 32", (expires,)
        ):
            victims.append(pk)
            freed += length
            if freed >= size:
                self._remove(f"pk IN ({','.join('?' * len(victims))})", victims)
                return True
        return False

    def _remove(self, where: str, values: Sequence[bytes | int]) -> None:
        for qid, blobs, size in self._connection.execute(
            f"SELECT qid, count(*), sum(length(blob)) FROM blobs WHERE {where} GROUP BY qid", values
        ).fetchall():
            self._add(qid, -blobs, -size)
            self._freed = True
        self._connection.execute(f"DELETE FROM blobs WHERE {where}", values)

    def _add(self, qid: bytes, blobs: int, size: int) -> None:
        held = self._held.setdefault(qid, _Held())
        held.blobs += blobs
        held.bytes += size
        self._total += size
        if not held.blobs:
            del self._held[qid]

    def _next_place(self, now: int) -> int:
        self._last = max(self._last + 1 + random.randrange(_STEP), now // 60_000 << _MINUTE_BITS)  # noqa: S311 - no secret
        return self._last

    def _count(self) -> None:
        self._held.clear()
        self._total = 0
        for qid, blobs, size in self._connection.execute(
            "SELECT qid, count(*), sum(length(blob)) FROM blobs GROUP BY qid"
        ):
            self._add(qid, blobs, size)
        self._last = max(
            self._last, self._connection.execute("SELECT coalesce(max(place), 0) FROM blobs").fetchone()[0]
        )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with _translated():
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                self._count()  # what was counted on the way is not on the disk
                raise


def _set_up(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA page_size = 8192")
    for setting in ("journal_mode = WAL", "synchronous = FULL", "secure_delete = ON", "temp_store = MEMORY"):
        connection.execute(f"PRAGMA {setting}")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA:
        raise DatabaseNewer
    if version == 0:
        connection.executescript(f"BEGIN;{_TABLES}PRAGMA user_version = {SCHEMA};COMMIT;")
    if connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
        raise DatabaseDamaged


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise _meaning(error) from error
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise DiskFull from error
        raise ProfileError(f"Cannot write the relay's data: {error.strerror}") from error


def _meaning(error: sqlite3.Error) -> Exception:
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:
        case 10 | 13:  # IOERR, FULL
            return DiskFull("The relay's disk is full or failing", hint="Deposits are turned away; make room.")
        case 11 | 26:  # CORRUPT, NOTADB
            return DatabaseDamaged("The relay's store is damaged", hint="Move it away; senders deposit again.")
        case 3 | 5 | 6 | 8 | 14 | 23:
            return P2PChatError("The relay's store cannot be used", hint="Is another relay using it? Who owns it?")
        case _:
            return error
