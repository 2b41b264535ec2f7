"""The relay's store: blobs by queue, and nothing else, in an SQLite file of its own.

* `synchronous=FULL`: a deposit is acknowledged after the commit, and then survives a power cut.
* `secure_delete=ON` and a TRUNCATE checkpoint after writes: a seized disk does not hold blobs that were fetched.
* Nothing on the disk reveals the order in which blobs of different queues arrived, and so which queues one person fills
  at the same time: rows are ordered by queue, times are whole hours, and pages of the file are used in random order.
* Places always grow. A place is an epoch and a count within the queue. An epoch begins with each hour, and with each
  start of the process at a new minute, so that a store that was restored from an old copy continues above all places
  that it gave out later. The last epoch used is on the disk.

The size of each queue, and where it came from, is counted in memory (`holdings`), from the disk at the start. When the
store is full, blobs of those who hold most are evicted.
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, NamedTuple

from p2pchat.core import ipns
from p2pchat.core.envelope import BUCKETS, envelope_id
from p2pchat.core.ipns import IpnsRecord
from p2pchat.core.mailbox import BAD_STAMP, DONE, NOT_ALLOWED, QUEUE_FULL, RELAY_FULL
from p2pchat.errors import CannotOpen, DatabaseDamaged
from p2pchat.lib.times import HOUR_MS
from p2pchat.relay import disk
from p2pchat.relay.clock import ClockRecord
from p2pchat.relay.disk import Reserve, translated
from p2pchat.relay.holdings import Holdings, Source
from p2pchat.relay.record_shares import RecordShares

BYTES_A_RECORD = 1 << 15
"""A store may hold one presence record for each so many of the bytes that it may hold."""
MAX_EXPIRED_AT_ONCE = 1000
"""Blobs that `expire` removes in one transaction."""
_MINUTE_MS = 60_000
_SUB_BITS = 6  # epochs in a minute
_COUNT_BITS = 30
_STEP = 16  # a divisor of 256
_CHANCES = 512
_MAX_COUNTED = 1 << 16  # queues whose count of this epoch is remembered
_NAMES_AT_ONCE = 256  # in one statement
_GROWTH_PAGES = 1024  # pages by which the file grows
_MAX = (1 << 63) - 1  # SQLite's integers are signed
_FILE_SIZE = 6, 5  # bytes of the file, by bytes of blobs
_SYSTEM = random.SystemRandom()


@dataclass(frozen=True)
class Quota:
    """The largest number of bytes and blobs of a queue, and of bytes in all. With less than `least_free` bytes free on
    the disk nothing new is stored. `reserve`: bytes of the file that is deleted when the disk is full.
    """

    queue_blobs: int = 16_384
    queue_bytes: int = 64 << 20
    total_bytes: int = 4 << 30
    least_free: int = 64 << 20
    reserve: int = 0


class NewBlob(NamedTuple):
    """A blob to be stored in a queue until an hour. box: it replaces what its queue holds. spent: its stamp was already
    used. source: where it comes from (`holdings`). record: what the blob is, if it is a presence record: then it only
    replaces older ones. stamp: that of the deposit, 0 without one. admin: it may use what is kept for admins
    (`log_store`).
    """

    qid: bytes
    blob: bytes
    expires: int
    box: bool = False
    spent: bool = False
    source: Source = ()
    record: IpnsRecord | None = None
    stamp: int = 0
    admin: bool = False


class DepositResult(NamedTuple):
    """The result of a deposit: a code of the protocol and, if that is 0, its place. new: it was not stored before."""

    code: int
    place: int = 0
    new: bool = False


def wanted_free(store: MailboxStore) -> int:
    """Return how many bytes must be free on the disk so that a store can still fill its quota. Any thread may call
    it.
    """
    bytes_of_file, bytes_of_blobs = _FILE_SIZE
    growth = store.quota.total_bytes * bytes_of_file // bytes_of_blobs - store.path.stat().st_size
    return store.quota.least_free + store._reserve.missing + max(0, growth)


@dataclass
class MailboxStore:
    """The open store, for one thread at a time. A method that raises has changed nothing."""

    keeps_records: ClassVar[bool] = True
    """Whether blobs that are smaller than any envelope are presence records."""
    what: ClassVar[str] = "the store"
    """Which store it is, for the log."""
    path: Path
    quota: Quota
    _connection: sqlite3.Connection
    _reserve: Reserve
    _holdings: Holdings
    unchecked: bool = False
    """Whether it was not closed cleanly, so that `check` is due."""
    seen: ClockRecord | None = None
    """The clock record that was last saved."""
    damaged: bool = False
    """Whether `check` has found damage."""
    _epoch: int = 0
    _used: int = 0
    _counts: dict[bytes, int] = field(default_factory=dict)
    _written: bool = False
    _chances: bytearray = field(default_factory=bytearray)
    _undo: list[tuple[bytes, int, int, Source]] = field(default_factory=list)
    _records: RecordShares = field(default_factory=RecordShares)

    @classmethod
    def open(cls, path: Path, quota: Quota, now: int) -> MailboxStore:
        """Open or create the store at `path`; `now` in ms. Its content is counted from an index; the blobs are not
        read.

        Raises DatabaseDamaged, DatabaseNewer, DiskFull or ProfileError.
        """
        connection = disk.connect(path)
        store = cls(path, quota, connection, Reserve(path, quota.reserve), Holdings(quota.total_bytes))
        try:
            with translated():
                store._holdings.begin(now // HOUR_MS)
                store._count(now)
                store.unchecked = store._in_use.exists()
                with suppress(OSError):  # a full disk
                    store._in_use.touch(0o600)
        except BaseException:
            connection.close()
            raise
        store._reserve.keep(quota.least_free)
        return store

    @property
    def _in_use(self) -> Path:
        """Return the path of a file that exists from the opening until the store is closed cleanly."""
        return self.path.with_name(self.path.name + "-in-use")

    @property
    def blobs(self) -> int:
        """The number of blobs."""
        return self._holdings.blobs

    @property
    def records(self) -> int:
        """How many of them are presence records."""
        return len(self._records)

    @property
    def size(self) -> int:
        """The bytes of all blobs."""
        return self._holdings.size

    @property
    def queues(self) -> int:
        """The number of queues that are not empty."""
        return self._holdings.queues

    def change(
        self,
        deposits: Sequence[NewBlob],
        deletes: Mapping[bytes, int],
        now: int,
        names: Mapping[bytes, Sequence[bytes]] = MappingProxyType({}),
    ) -> list[DepositResult]:
        """Store what the quotas allow; then delete, by queue, everything up to a place and everything with one of these
        names. All of it is one transaction. now: in ms.

        Raises DiskFull, DatabaseDamaged or another P2PChatError.
        """
        if deposits and self.damaged:
            raise disk.damaged()
        self._holdings.hour = max(self._holdings.hour, now // HOUR_MS)
        with self._transaction():
            roomy = self._has_room()
            if deposits and roomy:
                self._add_pages(sum(len(deposit.blob) // BUCKETS[0] + 1 for deposit in deposits))
            results = [self._put(deposit, now, roomy) for deposit in deposits]
            if self._epoch > self._used:
                self._connection.execute("UPDATE places SET epoch = ?", (self._epoch,))
            for qid, upto in deletes.items():
                self._remove("qid = ? AND place <= ?", (qid, min(upto, _MAX)))
            for qid, named in names.items():
                for start in range(0, len(named), _NAMES_AT_ONCE):
                    some = named[start : start + _NAMES_AT_ONCE]
                    marks = ",".join("?" * len(some))
                    self._remove(f"qid = ? AND name IN ({marks})", (qid, *some), "INDEXED BY blobs_by_name")
        self._used = self._epoch
        return results

    def fetch(self, qid: bytes, after: int, most: int, most_bytes: int) -> list[tuple[int, bytes]]:
        """Return (place, blob) behind the place `after`, in order: at most `most`, and at most `most_bytes` bytes
        unless the first alone is larger.

        The queue counts as read from then on; with `most` 0, nothing else is done.
        """
        rows: list[tuple[int, bytes]] = []
        size = 0
        self._holdings.read(qid)
        if not most or not self.holds(qid):
            return rows
        with translated():
            cursor = self._connection.execute(
                "SELECT place, blob FROM blobs WHERE qid = ? AND place > ? ORDER BY place LIMIT ?",
                (qid, min(after, _MAX), most),
            )
            for place, blob in cursor:
                size += len(blob)
                if rows and size > most_bytes:
                    break
                rows.append((place, blob))
            cursor.close()
        return rows

    def holds_behind(self, qid: bytes, after: int) -> bool:
        """Return whether the queue has anything behind the place `after`."""
        if not self.holds(qid):
            return False
        with translated():
            query = "SELECT 1 FROM blobs WHERE qid = ? AND place > ? LIMIT 1"
            return self._connection.execute(query, (qid, min(after, _MAX))).fetchone() is not None

    def expire(self, now: int, seen: ClockRecord | None = None) -> int:
        """Delete blobs that have expired, at most `MAX_EXPIRED_AT_ONCE`, and return their number. `seen` is saved."""
        before = self.blobs
        self._holdings.hour = max(self._holdings.hour, now // HOUR_MS)
        with self._transaction():
            if seen is not None and seen != self.seen:
                self._connection.execute("DELETE FROM clock")
                self._connection.execute("INSERT INTO clock VALUES (?, ?, ?)", seen)
            self._remove(
                "(qid, place) IN (SELECT qid, place FROM blobs WHERE expires <= ? ORDER BY expires LIMIT ?)",
                (now // HOUR_MS, MAX_EXPIRED_AT_ONCE),
            )
        self.seen = seen or self.seen
        return before - self.blobs

    def limit(self, quota: Quota) -> None:
        """Change the quotas; what is already stored stays. Call it in the thread that changes the store, or while none
        does.
        """
        self.quota = quota
        self._holdings.total = quota.total_bytes

    def note(self, seen: ClockRecord) -> None:
        """Save the clock record, even if it has not changed: this also shows whether the disk can be written."""
        with self._transaction():
            self._connection.execute("DELETE FROM clock")
            self._connection.execute("INSERT INTO clock VALUES (?, ?, ?)", seen)
        self.seen = seen

    def holds(self, qid: bytes) -> bool:
        """Return whether the queue `qid` is not empty. Any thread may call it."""
        return self._holdings.holds(qid)

    def checkpoint(self) -> None:
        """Truncate the write-ahead log if anything was written: it contains deleted blobs, and the order in which blobs
        arrived.
        """
        if self._written:
            with translated():
                busy = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            self._written = bool(busy)
        self._reserve.keep(self.quota.least_free)

    def use_reserve(self) -> bool:
        """Free the space that is reserved for a full disk, and checkpoint the log; return whether there was any."""
        if not self._reserve.give_up():
            return False
        with translated():
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return True

    def check(self) -> None:
        """Read the whole store, in any thread, which may take minutes. Raises DatabaseDamaged; from then on nothing new
        is stored, and the store is checked again when it is next opened.
        """
        try:
            disk.check(self.path)
        except DatabaseDamaged:
            self.damaged = True
            raise
        self.unchecked = False

    def close(self) -> None:
        """Checkpoint the log and close the database."""
        with translated():
            self._connection.close()  # closing checkpoints and removes the log
            if not (self.damaged or self.unchecked):
                self._in_use.unlink(missing_ok=True)

    # --- inside

    def _put(self, deposit: NewBlob, now: int, roomy: bool) -> DepositResult:
        name = envelope_id(deposit.blob)
        expires = max(deposit.expires, now // HOUR_MS + 1)
        refusal: int = BAD_STAMP if deposit.spent else DONE
        gives_way: bytes | None = None
        if refusal == DONE and deposit.record is not None:
            refusal, gives_way = self._record_refusal(deposit, deposit.record)
        if refusal == DONE:
            refusal = self._refusal(deposit, roomy)
        if refusal == DONE:
            if gives_way is not None:
                self._remove("qid = ?", (gives_way,))
            place = self._next_place(deposit.qid, now)
            inserted = self._connection.execute(
                "INSERT INTO blobs (qid, place, name, expires, size, blob) VALUES (?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (qid, name, size) DO NOTHING",
                (deposit.qid, place, name, expires, len(deposit.blob), deposit.blob),
            )
            if inserted.rowcount == 1:
                self._written = True
                source = self._holdings.add(deposit.qid, len(deposit.blob), deposit.source)
                self._undo.append((deposit.qid, 1, len(deposit.blob), source))
                if deposit.box:
                    self._remove("qid = ? AND place < ?", (deposit.qid, place))
                if deposit.record is not None:
                    self._records.put(deposit.qid, deposit.source, expires)
                return DepositResult(DONE, place, new=True)
        known = self._connection.execute(
            "SELECT place, expires FROM blobs WHERE qid = ? AND name = ?", (deposit.qid, name)
        ).fetchone()
        if known is None:
            return DepositResult(refusal)
        if known[1] < expires:  # the depositor relies on the later time
            self._connection.execute(
                "UPDATE blobs SET expires = ? WHERE qid = ? AND place = ?", (expires, deposit.qid, known[0])
            )
        return DepositResult(DONE, known[0])

    def _refusal(self, deposit: NewBlob, roomy: bool) -> int:
        blobs, size = (0, 0) if deposit.box else self._holdings.of(deposit.qid)
        if blobs >= self.quota.queue_blobs or (blobs and size + len(deposit.blob) > self.quota.queue_bytes):
            return QUEUE_FULL
        if not roomy or not self._make_room(deposit):
            return RELAY_FULL
        return DONE

    def _record_refusal(self, deposit: NewBlob, record: IpnsRecord) -> tuple[int, bytes | None]:
        """Return the code for a presence record, and the name of the one that gives way to it, if one has to. A record
        that is there must not be newer.
        """
        row = self._connection.execute("SELECT blob FROM blobs WHERE qid = ?", (deposit.qid,)).fetchone()
        if row is None:
            if self.records < self.quota.total_bytes // BYTES_A_RECORD:
                return DONE, None
            gives_way = self._records.giving_way(deposit.source, deposit.expires)
            return (RELAY_FULL if gives_way is None else DONE), gives_way
        try:
            known = ipns.read(ipns.routing_key(record.public), row[0], 0)
        except CannotOpen:  # the disk has changed it
            return DONE, None
        return (NOT_ALLOWED if ipns.best((record, known)) is known else DONE), None

    def _has_room(self) -> bool:
        return shutil.disk_usage(self.path).free >= self.quota.least_free + self._reserve.missing

    def _make_room(self, deposit: NewBlob) -> bool:
        """Make room for a deposit, if necessary by evicting blobs of those who hold most. Return False, with nothing
        changed, if there is none.
        """
        size = len(deposit.blob)
        if self.size + size <= self.quota.total_bytes:
            return True
        before, records = len(self._undo), self._records.mark()
        self._connection.execute("SAVEPOINT room")
        while self.size + size > self.quota.total_bytes:
            queue = self._holdings.queue_to_shrink(size, deposit.source)
            if queue is None:
                self._connection.execute("ROLLBACK TO room")
                self._revert(before)
                self._records.revert(records)
                break
            newest = "SELECT place FROM blobs WHERE qid = ?1 ORDER BY place DESC LIMIT 1"
            self._remove(f"qid = ?1 AND place = ({newest})", (queue,))
        self._connection.execute("RELEASE room")
        return self.size + size <= self.quota.total_bytes

    def _add_pages(self, pages: int) -> None:
        """Have so many free pages in the file, in random order. SQLite uses the pages of a growing file one after the
        other, so the disk would reveal in which order the blobs on it arrived.
        """
        if self._connection.execute("PRAGMA freelist_count").fetchone()[0] >= pages:
            return
        numbers = list(range(max(pages, _GROWTH_PAGES)))
        self._connection.executemany("INSERT INTO spare VALUES (?, zeroblob(4096))", ((number,) for number in numbers))
        _SYSTEM.shuffle(numbers)
        self._connection.executemany("DELETE FROM spare WHERE number = ?", ((number,) for number in numbers))

    def _remove(self, where: str, values: Sequence[object], index: str = "") -> None:
        for qid, size in self._connection.execute(
            f"DELETE FROM blobs {index} WHERE {where} RETURNING qid, size", values
        ).fetchall():
            self._written = True
            taken = self._holdings.remove(qid, size)
            if self.keeps_records and size not in BUCKETS:
                self._records.drop(qid)
            for number, (source, part) in enumerate(taken, start=1):
                self._undo.append((qid, -(number == len(taken)), -part, source))

    def _revert(self, down_to: int) -> None:
        """Undo the latest changes of the counts, down to this many."""
        while len(self._undo) > down_to:
            qid, blobs, size, source = self._undo.pop()
            if size > 0:
                self._holdings.take_back(qid, size, source, blobs)
            else:
                self._holdings.add(qid, -size, source, -blobs)

    def _next_place(self, qid: bytes, now: int) -> int:
        epoch = now // HOUR_MS * (HOUR_MS // _MINUTE_MS) << _SUB_BITS
        # the random step hides how many blobs were deleted from a queue
        step = 1 + self._chance() % _STEP
        count = self._counts.get(qid, 0) + step
        if epoch > self._epoch or count >> _COUNT_BITS or len(self._counts) >= _MAX_COUNTED:
            self._epoch = max(epoch, self._epoch + 1)
            self._counts.clear()
            count = step
        self._counts[qid] = count
        return self._epoch << _COUNT_BITS | count

    def _chance(self) -> int:
        """Return a random byte; random bytes are fetched from the system for many deposits at once."""
        if not self._chances:
            self._chances = bytearray(os.urandom(_CHANCES))
        return self._chances.pop()

    def _count(self, now: int) -> None:
        for qid, blobs, size in self._connection.execute(
            "SELECT qid, count(*), sum(size) FROM blobs INDEXED BY blobs_by_name GROUP BY qid"
        ):
            self._holdings.add(qid, size, (), blobs)
            if (
                self.keeps_records and size < BUCKETS[0]
            ):  # a record is alone under its name, and smaller than any envelope
                self._records.put(qid, (), 0)
        self._records.commit()
        clock = self._connection.execute("SELECT hour, ahead, settled FROM clock").fetchone()
        if clock is not None:
            self.seen = ClockRecord(*clock)
            self._holdings.begin(self.seen.hour)
        (self._used,) = self._connection.execute("SELECT epoch FROM places").fetchone()
        # the next minute: whatever this minute's places were in a later life of an old copy, they are smaller
        self._epoch = max(self._used + 1, now // _MINUTE_MS + 1 << _SUB_BITS)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._undo.clear()
        self._records.commit()
        with translated():
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    if self._connection.in_transaction:
                        self._connection.execute("ROLLBACK")
                self._revert(0)
                self._records.revert(0)
                raise
