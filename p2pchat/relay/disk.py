"""The relay's database file: opening, migration, checking, errors in our own words, and space reserved for a
full disk.
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from p2pchat.errors import DatabaseDamaged, DatabaseNewer, DiskFull, P2PChatError, ProfileError

SCHEMA = 2
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_SETTINGS = (
    "page_size = 4096",  # a blob of 4,096 bytes takes a little more than one page; larger pages cost more to commit
    "journal_mode = WAL",
    "synchronous = FULL",
    "secure_delete = ON",
    "temp_store = MEMORY",
    "cache_size = -16384",  # 16 MB
    "wal_autocheckpoint = 16384",  # 64 MB: each costs several fsyncs
)
_BLOBS = """
CREATE TABLE blobs (
    qid BLOB NOT NULL,
    place INTEGER NOT NULL,
    name BLOB NOT NULL, -- the hash of the blob: the same one is kept once a queue
    expires INTEGER NOT NULL, -- in hours of the relay's own time
    size INTEGER NOT NULL,
    blob BLOB NOT NULL,
    PRIMARY KEY (qid, place)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX blobs_by_name ON blobs (qid, name, size); -- the size, to count without reading blobs
CREATE INDEX blobs_by_expiry ON blobs (expires, name);
CREATE TABLE places (epoch INTEGER NOT NULL) STRICT; -- the last that was used
"""
_CLOCK = """
CREATE TABLE clock ( -- the last hour that was seen; see clock.py
    hour INTEGER NOT NULL,
    ahead INTEGER NOT NULL,
    settled INTEGER
) STRICT;
"""
_SPARE = """
INSERT INTO places VALUES (0);
CREATE TABLE spare (number INTEGER PRIMARY KEY, page BLOB NOT NULL) STRICT; -- always empty: see `_add_pages` in store
"""
_TABLES = _BLOBS + _SPARE + _CLOCK
_FROM_1 = _CLOCK
_MOVE_AWAY = """
ALTER TABLE blobs RENAME TO old_blobs;
ALTER TABLE places RENAME TO old_places;
DROP INDEX blobs_by_name;
DROP INDEX blobs_by_expiry;
"""
_MOVE_BACK = """
UPDATE places SET epoch = (SELECT (above >> 30) + 1 FROM old_places);
INSERT INTO blobs (qid, place, name, expires, size, blob)
    SELECT qid, place, name, expires, size, blob FROM old_blobs;
DROP TABLE old_blobs;
DROP TABLE old_places;
"""
_FROM_DRAFT = _MOVE_AWAY + _TABLES + _MOVE_BACK
"""Early databases of version 1 had other tables: each blob had a number, and the largest place of all was stored."""


def connect(path: Path) -> sqlite3.Connection:
    """Open or create the database at `path`, readable by its owner only, and migrate it.

    Raises DatabaseDamaged, DatabaseNewer, DiskFull or ProfileError. It reads as little as possible; `check` reads
    everything.
    """
    return opened(path, _migrate)


def opened(path: Path, prepare: Callable[[sqlite3.Connection], None]) -> sqlite3.Connection:
    """Open or create a database at `path`, readable by its owner only, and have `prepare` make its tables. Raises
    DatabaseDamaged, DiskFull or ProfileError, and what `prepare` raises.
    """
    with translated():
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            for setting in _SETTINGS:
                connection.execute(f"PRAGMA {setting}").fetchall()
            prepare(connection)
        except BaseException:
            connection.close()
            raise
    return connection


def check(path: Path) -> None:
    """Read the whole database over a separate connection, which may take minutes. Raises DatabaseDamaged."""
    with translated(), closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        if connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            raise damaged()


def _migrate(connection: sqlite3.Connection) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA:
        raise DatabaseNewer("The relay's store was written by a newer p2pchat")
    if version == SCHEMA:
        return
    script = _TABLES
    if version:
        columns = {row[1] for row in connection.execute("PRAGMA table_info(places)")}
        script = {"epoch": _FROM_1, "above": _FROM_DRAFT}.get("".join(columns), "")
        if not script:
            raise ProfileError(
                "The relay's store was written by an older p2pchat, which this one cannot read",
                hint="Run the older one until it is empty, or use another folder (--data); senders deposit again.",
            )
    try:
        connection.executescript(f"BEGIN IMMEDIATE;{script}PRAGMA user_version = {SCHEMA};COMMIT;")
    except BaseException:
        with suppress(sqlite3.Error):
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        raise


class Reserve:
    """A file beside the database that only occupies space. When the disk is full it is deleted, so that deletes can be
    written to the write-ahead log and the log can be checkpointed. `size`: its bytes, 0 for no such file.
    """

    def __init__(self, database: Path, size: int) -> None:
        self._path = database.with_name("reserve")
        self._size = size

    @property
    def missing(self) -> int:
        """The bytes that it lacks; nothing else may use them."""
        return 0 if not self._size or self._path.exists() else self._size

    def keep(self, least_free: int) -> None:
        """Create the file if it does not exist and the disk has space for it besides `least_free` bytes."""
        if not self._size or self._path.exists():
            return
        with suppress(OSError):
            if shutil.disk_usage(self._path.parent).free < least_free + self._size:
                return
            descriptor = os.open(self._path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, self._size)
            except OSError:
                self._path.unlink()
            finally:
                os.close(descriptor)

    def give_up(self) -> bool:
        """Delete the file; return whether it existed."""
        try:
            self._path.unlink()
        except OSError:
            return False
        return True


# --- errors --------------------------------------------------------------------------------------------------------


@contextmanager
def translated() -> Iterator[None]:
    """Convert errors of SQLite and the system to our own: DiskFull, DatabaseDamaged, or else ProfileError."""
    try:
        yield
    except sqlite3.Error as error:
        raise _meaning(error) from error
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise DiskFull(
                "The relay's disk is full", hint="Deposits are refused until there is free space."
            ) from error
        raise ProfileError(f"Cannot use the relay's data: {error.strerror}") from error


def damaged() -> DatabaseDamaged:
    """Return the error for a damaged file."""
    return DatabaseDamaged("The relay's store is damaged", hint="Move it away; senders deposit again.")


def _meaning(error: sqlite3.Error) -> P2PChatError:
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:
        case sqlite3.SQLITE_IOERR | sqlite3.SQLITE_FULL:
            return DiskFull(
                "The relay's disk is full or failing", hint="Deposits are refused until there is free space."
            )
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return damaged()
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return P2PChatError("The relay's store cannot be used", hint="Another program is using it.")
        case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
            return ProfileError(
                "The relay's store cannot be opened or written", hint="Check who owns it and whether it is read-only."
            )
        case _:
            return P2PChatError(f"The relay's store cannot be used: {error}", hint="It was not changed.")
