"""The one connection to a profile's database: its key, its settings, its transactions, its migrations.

Settings, and why:

* `synchronous=FULL` with WAL: a ratchet rolled back by a power cut would use a key twice.
* `secure_delete=ON` and a TRUNCATE checkpoint: what is deleted leaves the file, not only the tables.
* `temp_store=MEMORY`: a sorter never spills plaintext to a disk.
* `cipher_hmac_algorithm=HMAC_SHA256` in place of SHA-512: a quarter more messages a second where the processor has
  SHA instructions, and as good against forgery.
* `cipher_memory_security` stays off: it wipes freed memory at more than half of the speed, while the same text lies in
  Python's own strings, which nobody can wipe.
* `cache_size` is ours: the library's 8 MB fill up with traffic for hours, which looks like a leak and gains nothing.

A page that does not verify makes SQLCipher refuse every later statement of the connection, whichever page that needs.
So a connection that met one is replaced: the damage costs what is on the page, and nothing else.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlcipher3 import dbapi2 as sqlcipher  # type: ignore[import-untyped]  # it ships no types

from p2pchat.errors import (
    DatabaseDamaged,
    DatabaseNewer,
    DiskFull,
    NoProfile,
    ProfileError,
    ProfileExists,
    ProfileGone,
    WrongKey,
)
from p2pchat.lib.atomic_file import sync_folder

SqlError: type[Exception] = sqlcipher.Error
Value = bytes | str | int | None
Row = tuple[Any, ...]

KEY_BYTES = 32
# Every page of a database up to this size is checked at opening (5 to 8 ms a MiB); of a bigger one, as it is read.
CHECKED_BYTES = 8 << 20
STATEMENTS_KEPT = 256
PAGE_BYTES = 4096
CACHE_KIB = 4096
BUSY_TIMEOUT_MS = 5_000
"""Milliseconds for which a statement waits for another connection."""

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Database:
    """One open database. Made by `create` or `open`; one thread at a time.

    Every method raises `DiskFull` when a write cannot reach the disk, `DatabaseDamaged` when a page does not verify and
    `ProfileError` when the file may not be used; after a `DiskFull` the transaction is undone and the database can
    still be used.
    """

    def __init__(self, path: Path, connection: Any, key: bytes) -> None:
        self.path = path
        self._connection = connection
        self._inode = _inode(path)
        self.guard: Callable[[], None] = lambda: None
        """Called before and after each COMMIT. It raises if the open file is not the profile's any more."""
        self._key = key
        self._met_damage = False
        self._gathered: dict[str, list[Sequence[Value]]] = {}

    @classmethod
    def create(cls, path: Path, key: bytes) -> Database:
        """Create a new database with a 32-byte key and open it. Raises `ProfileExists` if there is a file.

        It is built under another name and renamed, so there is never an unfinished one at `path`.
        """
        if path.exists():
            raise ProfileExists(f"{path} is already there; it was not touched")
        draft = path.with_name(path.name + ".new")
        remove(draft)
        with translated():
            try:
                with closing(connect_new(draft, key)) as connection:
                    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                os.rename(draft, path)
            finally:
                remove(draft)
            sync_folder(path.parent)
        return cls.open(path, key)

    @classmethod
    def open(cls, path: Path, key: bytes) -> Database:
        """Open the database at `path` with its 32-byte key, and migrate it to the current schema.

        Raises `NoProfile` (no file), `DatabaseDamaged` (not a database with this key, truncated, or with a damaged
        page) or `DatabaseNewer`; none of them changes the file.
        """
        if not path.exists():
            raise NoProfile(f"There is no database at {path}")
        with translated():
            _check_readable(path, key)
            connection = connect(path, key)
            try:
                _set_up(connection)
                _migrate(connection)
            except BaseException:
                connection.close()
                raise
        return cls(path, connection, key)

    def execute(self, sql: str, values: Sequence[Value] | Mapping[str, Value] = ()) -> int:
        """Run one statement; return the number of rows that it changed."""
        try:
            return int(self._usable().execute(sql, values).rowcount)
        except sqlcipher.Error as error:
            raise self._failed(error) from error

    def insert(self, sql: str, values: Sequence[Value] | Mapping[str, Value] = ()) -> int:
        """Run one INSERT. Return the rowid of the new row, or 0 if ON CONFLICT or a WHERE excluded it."""
        try:
            cursor = self._usable().execute(sql, values)
        except sqlcipher.Error as error:
            raise self._failed(error) from error
        return int(cursor.lastrowid) if cursor.rowcount == 1 else 0

    def executemany(self, sql: str, rows: Iterable[Sequence[Value]]) -> int:
        """Run one statement for each row of values; return the number of rows changed."""
        try:
            return int(self._usable().executemany(sql, rows).rowcount)
        except sqlcipher.Error as error:
            raise self._failed(error) from error

    def gather(self, sql: str, values: Sequence[Value]) -> None:
        """Run one statement later in this transaction, together with others of its kind: at the end, or at
        `run_gathered`, which must be called before reading or changing what it writes.
        """
        self._gathered.setdefault(sql, []).append(values)
        if not self._connection.in_transaction:
            self.run_gathered()

    def run_gathered(self) -> None:
        """Run the gathered statements."""
        while self._gathered:
            sql = next(iter(self._gathered))
            self.executemany(sql, self._gathered.pop(sql))

    def query(self, sql: str, values: Sequence[Value] | Mapping[str, Value] = ()) -> list[Row]:
        """Return every row of a SELECT."""
        try:
            rows: list[Row] = self._usable().execute(sql, values).fetchall()
        except sqlcipher.Error as error:
            raise self._failed(error) from error
        return rows

    def query_one(self, sql: str, values: Sequence[Value] | Mapping[str, Value] = ()) -> Row | None:
        """Return the first row of a SELECT, or None."""
        try:
            row: Row | None = self._usable().execute(sql, values).fetchone()
        except sqlcipher.Error as error:
            raise self._failed(error) from error
        return row

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run a block as one transaction: BEGIN IMMEDIATE, the block, `commit`. An exception undoes it and is raised
        again.
        """
        self.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.commit()
        except BaseException:
            self._undo()
            raise

    def commit(self) -> None:
        """Commit the transaction to the disk: after this returns, it survives a power cut. It is the only COMMIT of the
        program.
        """
        self.run_gathered()
        self.guard()
        self.execute("COMMIT")
        self.guard()  # if the file has vanished meanwhile, the caller must not acknowledge anything

    def checkpoint(self) -> bool:
        """Move the write-ahead log into the database and truncate it, so that deleted data is gone. Return whether that
        was done: it is not while another connection reads (see `damaged_pages`), and nothing waits for that.
        """
        self.query("PRAGMA busy_timeout = 0")
        try:
            ((busy, *_),) = self.query("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            self.query(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        return not busy

    def files(self) -> list[Path]:
        """Return the files with committed data: the database and its write-ahead log."""
        return [self.path, self.path.with_name(self.path.name + "-wal")]

    def damaged_pages(self) -> int:
        """Count the damaged pages, as the function `damaged_pages` does: over another connection, in any thread."""
        return damaged_pages(self.path, self._key)

    @property
    def closed(self) -> bool:
        """True once `close` was called."""
        return self._connection is None

    def close(self) -> None:
        """Checkpoint and close; closing twice is harmless."""
        if self._connection is None:
            return
        connection, self._connection = self._connection, None
        if _inode(self.path) != self._inode:
            # SQLite deletes the log by its name, which may by now be another database's, so do not close it.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))
            return
        with translated(), closing(connection):
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _undo(self) -> None:
        self._gathered.clear()
        # SQLite undoes a transaction by itself after some errors; a second ROLLBACK would then be one more error.
        if self._met_damage:  # replacing the connection drops what was not committed
            self._replace_connection()
        elif self._connection is not None and self._connection.in_transaction:
            self.execute("ROLLBACK")

    def _usable(self) -> Any:
        """Return the connection; replace it first if it has met a damaged page outside of a transaction."""
        if self._met_damage and not self._connection.in_transaction:
            self._replace_connection()
        return self._connection

    def _failed(self, error: Exception) -> Exception:
        """Return our error for an error of SQLite, and note damage."""
        ours = meaning(error)
        self._met_damage |= isinstance(ours, DatabaseDamaged)
        return ours

    def _replace_connection(self) -> None:
        """Open another connection, then close this one: the last one to close would write into the damaged file.

        Raises `ProfileGone`, and keeps the old one open, if another file is at the path now, so that it is not written
        to.
        """
        self._check_file()
        with translated():
            fresh = connect(self.path, self._key)
            try:
                self._check_file()  # connecting does not write; the settings do
                _set_up(fresh)
            except BaseException:
                fresh.close()
                raise
            old, self._connection, self._met_damage = self._connection, fresh, False
            with suppress(sqlcipher.Error):
                old.close()

    def _check_file(self) -> None:
        if _inode(self.path) != self._inode:
            raise ProfileGone(f"{self.path} was deleted, moved or replaced while it was open")


def assignments(fields: Collection[str], allowed: frozenset[str]) -> str:
    """Return the `a = :a, b = :b` of an UPDATE. Raises ValueError for a name that is not in `allowed`."""
    if not fields or not allowed.issuperset(fields):
        raise ValueError(f"cannot set {sorted(set(fields) - allowed) or 'nothing'}")
    return ", ".join(f"{name} = :{name}" for name in fields)


ID_LIST = "(SELECT unhex(value) FROM json_each({}))"
"""The right side of an SQL `IN` for any number of ids, given as `packed`, so that one statement serves them all. A `+`
before another column in the condition keeps SQLite from using that column's index instead: its planner expects many
ids."""


def packed(ids: Iterable[bytes]) -> str:
    """Return ids as one value for `ID_LIST`."""
    return json.dumps([id.hex() for id in ids])


@contextmanager
def translated() -> Iterator[None]:
    """Convert errors of SQLite and of the file system to our own: DiskFull, DatabaseDamaged, or else ProfileError."""
    try:
        yield
    except sqlcipher.Error as error:
        raise meaning(error) from error
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise DiskFull from error
        if error.errno == errno.EIO:
            raise _failing_disk() from error
        raise ProfileError(f"Cannot write to the profile: {error.strerror}") from error


@cache
def migrations() -> tuple[str, ...]:
    """Return the scripts that create and change the schema, in order; the n-th (from 1) leads to `user_version` n. They
    are cached, because each opening of a database asks twice for their number.
    """
    folder = resources.files("p2pchat.store") / "migrations"
    scripts = sorted((entry.name, entry) for entry in folder.iterdir() if re.fullmatch(r"\d{4}_\w+\.sql", entry.name))
    return tuple(entry.read_text("utf-8") for _, entry in scripts)


def connect_new(path: Path, key: bytes, version: int | None = None) -> Any:
    """Create an empty database with a 32-byte key, our settings and the schema of `version` (None: the current one),
    and connect to it.
    """
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    connection = connect(path, key)
    try:
        _set_up(connection)
        _migrate(connection, version)
    except BaseException:
        connection.close()
        raise
    return connection


def connect(path: Path, key: bytes, mode: str = "mode=rw") -> Any:
    """Connect to the file at `path`, encrypted with a 32-byte key, without checking it and without settings. mode: as
    in SQLite's URIs.
    """
    if len(key) != KEY_BYTES:
        raise ValueError("a database key has 32 bytes")
    connection = sqlcipher.connect(
        f"file:{quote(str(path.absolute()))}?{mode}",
        uri=True,
        timeout=BUSY_TIMEOUT_MS / 1000,
        isolation_level=None,  # transactions are begun and ended explicitly
        check_same_thread=False,  # the engine's worker threads take turns
        cached_statements=STATEMENTS_KEPT,
    )
    # First: with a wrong key it would print to stderr, over the screen.
    connection.execute("PRAGMA cipher_log_level = NONE")
    # A raw key skips SQLCipher's own derivation; ours comes from the key file.
    connection.execute(f"PRAGMA key = \"x'{key.hex()}'\"")
    connection.execute("PRAGMA cipher_hmac_algorithm = HMAC_SHA256")
    return connection


def _set_up(connection: Any) -> None:
    for setting in (
        "journal_mode = WAL",
        "synchronous = FULL",
        "secure_delete = ON",
        "temp_store = MEMORY",
        "foreign_keys = ON",
        f"cache_size = -{CACHE_KIB}",
    ):
        connection.execute(f"PRAGMA {setting}")


def _check_readable(path: Path, key: bytes) -> None:
    """Raise an error for a file that is damaged or has a newer schema, before anything could write to it.

    It opens the file read-only, since merely closing a writable connection may copy the write-ahead log into the file.
    """
    if not path.is_file() or path.stat().st_size == 0:  # SQLite would take an empty one for a new database
        raise DatabaseDamaged
    log = path.with_name(path.name + "-wal")
    # Without a log nothing but the file counts, and "immutable" leaves no empty log beside it.
    mode = "mode=ro" if log.exists() and log.stat().st_size else "mode=ro&immutable=1"
    with closing(connect(path, key, mode)) as connection:
        try:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
        except sqlcipher.DatabaseError:
            if not _any_page_verifies(path, key, mode):
                raise WrongKey from None
            raise
        if version > len(migrations()):
            raise DatabaseNewer
        if version < 1:
            raise DatabaseDamaged
        if path.stat().st_size <= CHECKED_BYTES and connection.execute("PRAGMA cipher_integrity_check").fetchone():
            raise DatabaseDamaged


def _any_page_verifies(path: Path, key: bytes, mode: str) -> bool:
    """Return whether any page of the file verifies. With a wrong key, or without the file's first 16 bytes,
    none does.
    """
    with closing(connect(path, key, mode)) as connection:
        failures = len(connection.execute("PRAGMA cipher_integrity_check").fetchall())
    return failures < path.stat().st_size // PAGE_BYTES


def damaged_pages(path: Path, key: bytes) -> int:
    """Count the pages of the database at `path` that do not verify, by reading all (about 3 ms a MiB).

    It has a read-only connection of its own, and may run in another thread while a `Database` is open. Raises what
    `Database.open` does.
    """
    with translated(), closing(connect(path, key, "mode=ro")) as connection:
        return len(connection.execute("PRAGMA cipher_integrity_check").fetchall())


def _migrate(connection: Any, up_to: int | None = None) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    for number, script in enumerate(migrations()[version:up_to], version + 1):
        try:
            connection.executescript(f"BEGIN IMMEDIATE;\n{script}\nPRAGMA user_version = {number};\nCOMMIT;")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def meaning(error: Exception) -> Exception:
    """Return our error for an error of SQLite (sqlite.org/rescode.html), or the same error if it is a mistake in a
    statement.
    """
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:  # the low byte of an extended code is the primary one
        case 13:  # FULL
            return DiskFull()
        case 10:  # IOERR
            return _failing_disk()
        case 11 | 26:  # CORRUPT, NOTADB
            return DatabaseDamaged()
        case 5 | 6:  # BUSY, LOCKED
            return ProfileError("Another program is using the profile's database", hint="End it and try again.")
        case 3 | 8 | 14 | 23:  # PERM, READONLY, CANTOPEN, AUTH
            return ProfileError("The profile's database cannot be opened for writing", hint="Look at its permissions.")
        case _:
            return error


def _failing_disk() -> DiskFull:
    text = "The disk cannot be read or written; nothing was sent and nothing was lost"
    return DiskFull(text, hint="Look whether it is full or failing, then try again.")


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except OSError:
        return 0


def remove(path: Path) -> None:
    """Delete a database with its log, if it is there."""
    for name in (path.name, path.name + "-wal", path.name + "-shm"):
        path.with_name(name).unlink(missing_ok=True)
