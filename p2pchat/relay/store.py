"""The relay's disk: blobs by queue, and nothing else. SQLite, its own file, nothing of a node's.

* `synchronous=FULL`: a deposit is acknowledged after the commit, and then survives a power cut.
* `secure_delete=ON` and a TRUNCATE checkpoint after writes: a seized disk does not hold what was fetched.
* Nothing on disk says in which order blobs of different queues came, so that nothing says which queues one person fills
  at the same time: rows lie by queue, times are whole hours, and pages of the file are given out in no order.
* Places grow whatever happens. They are an epoch and a count within the queue. An epoch begins with an hour or with the
  process, and then with the minute, so that a store from an old copy goes on above what it gave out later; the disk
  holds the last one that was used.

How much a queue holds is counted in memory, from the disk at the start, and so is from where it came (`holdings`): when
the store is full, those give way who hold most.
"""

from __future__ import annotations

import os
import random
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from p2pchat.core.envelope import BUCKETS, envelope_id
from p2pchat.core.mailbox import BAD_STAMP, DONE, QUEUE_FULL, RELAY_FULL
from p2pchat.errors import DatabaseDamaged
from p2pchat.lib.times import HOUR_MS
from p2pchat.relay import disk
from p2pchat.relay.clock import ClockRecord
from p2pchat.relay.disk import Reserve, translated
from p2pchat.relay.holdings import Holdings, Source

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
_SYSTEM = random.SystemRandom()


@dataclass(frozen=True)
class Quota:
    """How many bytes or blobs a queue and all together may hold; with less than `least_free` on the disk nothing is
    kept. `reserve`: bytes of the file that gives way on a full disk.
    """

    queue_blobs: int = 16_384
    queue_bytes: int = 64 << 20
    total_bytes: int = 4 << 30
    least_free: int = 64 << 20
    reserve: int = 0


class NewBlob(NamedTuple):
    """A blob for a queue until an hour. `box`: it replaces what its queue holds. `spent`: its stamp was used. `source`:
    where it comes from, see `holdings`.
    """

    qid: bytes
    blob: bytes
    expires: int
    box: bool = False
    spent: bool = False
    source: Source = ()


class DepositResult(NamedTuple):
    """What became of a deposit: a code of the protocol, and its place where it is 0. `new`: it was not there before."""

    code: int
    place: int = 0
    new: bool = False


@dataclass
class MailboxStore:
    """The open store; one thread at a time. Whatever raises has changed nothing."""

    path: Path
    quota: Quota
    _connection: sqlite3.Connection
    _reserve: Reserve
    _holdings: Holdings
    unchecked: bool = False
    """Whether it was not closed when it was last used, so that `check` is due."""
    seen: ClockRecord | None = None
    """What the clock said when it was last used."""
    damaged: bool = False
    """Whether `check` has found so."""
    _epoch: int = 0
    _used: int = 0
    _counts: dict[bytes, int] = field(default_factory=dict)
    _written: bool = False
    _chances: bytearray = field(default_factory=bytearray)
    _undo: list[tuple[bytes, int, int, Source]] = field(default_factory=list)

    @classmethod
    def open(cls, path: Path, quota: Quota, now: int) -> MailboxStore:
        """Open or make the store at `path`; `now` in ms. What it holds is counted by an index; the rest is not read.

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
        """A file that is there from the opening to a good end."""
        return self.path.with_name(self.path.name + "-in-use")

    @property
    def blobs(self) -> int:
        """How many blobs there are."""
        return self._holdings.blobs

    @property
    def size(self) -> int:
        """How many bytes they have."""
        return self._holdings.size

    @property
    def queues(self) -> int:
        """How many queues hold something."""
        return self._holdings.queues

    def change(
        self,
        deposits: Sequence[NewBlob],
        deletes: Mapping[bytes, int],
        now: int,
        names: Mapping[bytes, Sequence[bytes]] = MappingProxyType({}),
    ) -> list[DepositResult]:
        """Keep what the quotas allow, then remove, of each queue, everything up to a place, and what has one of these
        names; all in one transaction. now: in ms.

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
        """Return (place, blob) behind the place `after`, in order: at most so many, and so many bytes unless it is only
        one.

        That the queue is read is noted; with `most` 0, nothing else is done.
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
        """Remove what is past its time, at most `MAX_EXPIRED_AT_ONCE`; how many blobs that were. Note what the clock
        says.
        """
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
        """Hold so much from now on; what it holds already stays. For the thread that changes it, or where none does."""
        self.quota = quota
        self._holdings.total = quota.total_bytes

    def note(self, seen: ClockRecord) -> None:
        """Note what the clock says, whether it is news or not: so it shows too whether the disk can be written."""
        with self._transaction():
            self._connection.execute("DELETE FROM clock")
            self._connection.execute("INSERT INTO clock VALUES (?, ?, ?)", seen)
        self.seen = seen

    def holds(self, qid: bytes) -> bool:
        """Return whether the queue `qid` holds something. For any thread."""
        return self._holdings.holds(qid)

    def checkpoint(self) -> None:
        """Cut the write-ahead log to nothing if anything was written: it holds what was deleted, and in which order
        everything came.
        """
        if self._written:
            with translated():
                busy = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            self._written = bool(busy)
        self._reserve.keep(self.quota.least_free)

    def use_reserve(self) -> bool:
        """Free the room that was kept for a full disk, and fold the log in; returns whether there was any."""
        if not self._reserve.give_up():
            return False
        with translated():
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return True

    def check(self) -> None:
        """Read all of it, in any thread, which may take minutes. Raises DatabaseDamaged: from then on nothing new is
        kept, and it is checked again when it is next used."""
        try:
            disk.check(self.path)
        except DatabaseDamaged:
            self.damaged = True
            raise
        self.unchecked = False

    def close(self) -> None:
        """Write the log back into the database and close it."""
        with translated():
            self._connection.close()  # SQLite's own checkpoint at the end removes the log
            if not (self.damaged or self.unchecked):
                self._in_use.unlink(missing_ok=True)

    # --- inside

    def _put(self, deposit: NewBlob, now: int, roomy: bool) -> DepositResult:
        name = envelope_id(deposit.blob)
        refusal = BAD_STAMP if deposit.spent else self._refusal(deposit, roomy)
        expires = max(deposit.expires, now // HOUR_MS + 1)
        if refusal == DONE:
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
                return DepositResult(DONE, place, new=True)
        known = self._connection.execute(
            "SELECT place, expires FROM blobs WHERE qid = ? AND name = ?", (deposit.qid, name)
        ).fetchone()
        if known is None:
            return DepositResult(refusal)
        if known[1] < expires:  # who deposits it again counts on the later time
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

    def _has_room(self) -> bool:
        there = os.statvfs(self.path)
        return there.f_bavail * there.f_frsize >= self.quota.least_free + self._reserve.missing

    def _make_room(self, deposit: NewBlob) -> bool:
        """Whether there is room for a deposit, if need be since those who hold most gave way. Else nothing changed."""
        size = len(deposit.blob)
        if self.size + size <= self.quota.total_bytes:
            return True
        before = len(self._undo)
        self._connection.execute("SAVEPOINT room")
        while self.size + size > self.quota.total_bytes:
            queue = self._holdings.queue_to_shrink(size, deposit.source)
            if queue is None:
                self._connection.execute("ROLLBACK TO room")
                self._revert(before)
                break
            newest = "SELECT place FROM blobs WHERE qid = ?1 ORDER BY place DESC LIMIT 1"
            self._remove(f"qid = ?1 AND place = ({newest})", (queue,))
        self._connection.execute("RELEASE room")
        return self.size + size <= self.quota.total_bytes

    def _add_pages(self, pages: int) -> None:
        """Have so many free pages in the file, in no order. SQLite gives out pages of a growing file one after the
        other, and whoever reads the disk would see in which order blobs came that still lie there.
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
            for number, (source, part) in enumerate(taken, start=1):
                self._undo.append((qid, -(number == len(taken)), -part, source))

    def _revert(self, down_to: int) -> None:
        """Count as before the last changes."""
        while len(self._undo) > down_to:
            qid, blobs, size, source = self._undo.pop()
            if size > 0:
                self._holdings.take_back(qid, size, source, blobs)
            else:
                self._holdings.add(qid, -size, source, -blobs)

    def _next_place(self, qid: bytes, now: int) -> int:
        epoch = now // HOUR_MS * (HOUR_MS // _MINUTE_MS) << _SUB_BITS
        # the step hides from whoever has the disk how much a queue held that is not there any more
        step = 1 + self._chance() % _STEP
        count = self._counts.get(qid, 0) + step
        if epoch > self._epoch or count >> _COUNT_BITS or len(self._counts) >= _MAX_COUNTED:
            self._epoch = max(epoch, self._epoch + 1)
            self._counts.clear()
            count = step
        self._counts[qid] = count
        return self._epoch << _COUNT_BITS | count

    def _chance(self) -> int:
        """Return a random byte, out of those that the system gave for many deposits at once."""
        if not self._chances:
            self._chances = bytearray(os.urandom(_CHANCES))
        return self._chances.pop()

    def _count(self, now: int) -> None:
        for qid, blobs, size in self._connection.execute(
            "SELECT qid, count(*), sum(size) FROM blobs INDEXED BY blobs_by_name GROUP BY qid"
        ):
            self._holdings.add(qid, size, (), blobs)
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
                raise
