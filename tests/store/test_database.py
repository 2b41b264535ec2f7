"""The connection: settings, transactions, and every file it must refuse without touching."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from sqlcipher3 import dbapi2 as sqlcipher  # type: ignore[import-untyped]

from p2pchat.core.ids import NOTES, ContactId, MessageId, PeerKey, SessionId, first_device
from p2pchat.errors import DatabaseDamaged, DatabaseNewer, DiskFull, NoProfile, ProfileError, ProfileExists, ProfileGone
from p2pchat.store import chats, contacts, database, devices, facts, meta, outbox, queues, renewals, sessions, waiting
from p2pchat.store.chats import ChatKind, ChatRow
from p2pchat.store.database import Database, assignments
from p2pchat.store.devices import DeviceRow, Way
from p2pchat.store.facts import Fact
from p2pchat.store.messages import ME
from p2pchat.store.outbox import OutboxForm, OutboxRow
from p2pchat.store.queues import TheirQueueRow
from p2pchat.store.renewals import RenewalRow
from tests.store.conftest import ALICE, ALICE_CHAT, ALICE_DEVICE, BOB
from tests.support.databases import KEY


def content(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, but the shared-memory index, which SQLite makes anew whenever it looks."""
    return {file.name: file.read_bytes() for file in folder.iterdir() if not file.name.endswith("-shm")}


def crashed_copy(db: Database, folder: Path) -> Path:
    """The files of an open database as a power cut would leave them."""
    folder.mkdir()
    for name in (db.path.name, db.path.name + "-wal"):
        shutil.copy(db.path.with_name(name), folder / name)
    return folder / db.path.name


# --- settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pragma", "value"),
    [
        ("journal_mode", "wal"),
        ("synchronous", 2),
        ("secure_delete", 1),
        ("temp_store", 2),
        ("foreign_keys", 1),
        ("cipher_hmac_algorithm", "HMAC_SHA256"),
    ],
)
def test_settings_hold_after_reopening(db: Database, path: Path, pragma: str, value: object) -> None:
    db.close()
    again = Database.open(path, KEY)
    assert again.query_one(f"PRAGMA {pragma}") == (value,)
    again.close()


def test_files_are_private_and_encrypted(db: Database, path: Path) -> None:
    meta.put(db, "marker", b"plaintext-marker")
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0, file
        assert b"plaintext-marker" not in file.read_bytes()
        assert b"SQLite format" not in file.read_bytes()


def test_close_leaves_one_file_and_may_be_repeated(db: Database, path: Path) -> None:
    meta.put(db, "a", b"1")
    db.close()
    db.close()
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_what_was_committed_is_there_after_a_crash(db: Database, tmp_path: Path) -> None:
    with db.transaction():
        meta.put(db, "a", b"1")
    again = Database.open(crashed_copy(db, tmp_path / "copy"), KEY)
    assert meta.get(again, "a") == b"1"
    again.close()


# --- transactions --------------------------------------------------------------------------------


def test_an_exception_undoes_all(db: Database) -> None:
    meta.put(db, "a", b"before")

    def change() -> None:
        with db.transaction():
            meta.put(db, "a", b"after")
            raise KeyError

    with pytest.raises(KeyError):
        change()
    assert meta.get(db, "a") == b"before"


def test_crash_before_and_after_the_commit(db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`commit` is the one seam: a cut before it shows nothing, a cut after it all."""
    copies = []
    real = db.commit

    def commit() -> None:
        copies.append(crashed_copy(db, tmp_path / "before"))
        real()
        copies.append(crashed_copy(db, tmp_path / "after"))

    monkeypatch.setattr(db, "commit", commit)
    with db.transaction():
        meta.put(db, "a", b"1")
        meta.put(db, "b", b"2")
    found = []
    for copy in copies:
        again = Database.open(copy, KEY)
        found.append((meta.get(again, "a"), meta.get(again, "b")))
        again.close()
    assert found == [(None, None), (b"1", b"2")]


def test_a_failing_commit_undoes_all(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def commit() -> None:
        raise DiskFull

    with monkeypatch.context() as patched:
        patched.setattr(db, "commit", commit)
        with pytest.raises(DiskFull), db.transaction():
            meta.put(db, "a", b"1")
    with db.transaction():
        meta.put(db, "b", b"2")
    assert (meta.get(db, "a"), meta.get(db, "b")) == (None, b"2")


def test_no_transaction_in_a_transaction(db: Database) -> None:
    with pytest.raises(sqlcipher.OperationalError), db.transaction(), db.transaction():
        pass
    with db.transaction():
        meta.put(db, "a", b"1")
    assert meta.get(db, "a") == b"1"


def test_a_mistake_in_a_statement_is_not_dressed_up(db: Database) -> None:
    for call in (db.execute, db.query, db.query_one, db.insert):
        with pytest.raises(sqlcipher.OperationalError):
            call("SELEC")
    with pytest.raises(sqlcipher.OperationalError):
        db.executemany("SELEC ?", [(1,)])


def test_insert_gives_the_row_or_nothing(db: Database) -> None:
    sql = "INSERT INTO outbox (recipient, form, created_at, attempts, next_try, expires_at, envelope_id)"
    sql += " VALUES (x'01', 'box', 0, 0, 0, 0, ?) ON CONFLICT DO NOTHING"
    assert db.insert(sql, (b"1",)) == 1
    assert db.insert(sql, (b"1",)) == 0


def test_assignments_take_known_names_only() -> None:
    assert assignments(["a", "b"], frozenset("ab")) == "a = :a, b = :b"
    for names in ([], ["a", "c"], ["a = 1; --"]):
        with pytest.raises(ValueError, match="cannot set"):
            assignments(names, frozenset("ab"))


# --- a full disk ---------------------------------------------------------------------------------


def test_a_full_database_loses_nothing_and_goes_on(db: Database, path: Path) -> None:
    meta.put(db, "kept", b"1")
    pages = db.query_one("PRAGMA page_count")
    assert pages is not None
    db.query(f"PRAGMA max_page_count = {pages[0] + 3}")

    def change() -> None:
        with db.transaction():
            meta.put(db, "small", b"1")
            meta.put(db, "big", bytes(100_000))

    with pytest.raises(DiskFull):
        change()
    assert (meta.get(db, "kept"), meta.get(db, "small")) == (b"1", None)
    with db.transaction():
        meta.put(db, "small", b"2")
    db.close()
    again = Database.open(path, KEY)
    assert (meta.get(again, "kept"), meta.get(again, "small"), meta.get(again, "big")) == (b"1", b"2", None)
    again.close()


_FILL = """
import resource, sys
from pathlib import Path
from p2pchat.errors import DiskFull
from p2pchat.store import meta
from p2pchat.store.database import Database
path, most = Path(sys.argv[1]), int(sys.argv[2])
db = Database.open(path, bytes(range(32)))
resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))
saved = 0
try:
    while saved < 10_000:
        with db.transaction():
            meta.put_int(db, "saved", saved + 1)
            meta.put(db, f"row{saved}", bytes(5000))
        saved += 1
except DiskFull:
    print("full", saved)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
with db.transaction():
    meta.put(db, "after", b"1")
print("went on")
db.close()
"""


def test_a_write_that_fails_in_the_file_system(db: Database, path: Path) -> None:
    """A file that may not grow is the nearest to a full disk that needs no privileges."""
    db.close()
    limit = path.stat().st_size + 500_000
    done = subprocess.run(
        [sys.executable, "-c", _FILL, str(path), str(limit)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr == ""
    full, went_on = done.stdout.splitlines()
    saved = int(full.split()[1])
    assert saved > 0
    assert went_on == "went on"
    again = Database.open(path, KEY)
    assert meta.get_int(again, "saved") == saved
    assert meta.get(again, f"row{saved - 1}") == bytes(5000)
    assert meta.get(again, f"row{saved}") is None
    assert meta.get(again, "after") == b"1"
    again.close()


def test_create_on_a_full_disk_leaves_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        database, "migrations", lambda: ["PRAGMA max_page_count = 2; CREATE TABLE a (b); CREATE TABLE c (d);"]
    )
    with pytest.raises(DiskFull):
        Database.create(path, KEY)
    assert list(path.parent.iterdir()) == []


def test_no_room_in_the_file_system_and_other_errors_of_it() -> None:
    def fail(number: int) -> None:
        with database.translated():
            raise OSError(number, os.strerror(number))

    for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        with pytest.raises(DiskFull):
            fail(number)
    with pytest.raises(ProfileError, match="Permission denied") as other:
        fail(errno.EACCES)
    assert not isinstance(other.value, DiskFull)


# --- files that are refused, untouched -----------------------------------------------------------


def test_create_over_something_is_refused(path: Path) -> None:
    path.write_bytes(b"mine")
    with pytest.raises(ProfileExists):
        Database.create(path, KEY)
    assert path.read_bytes() == b"mine"


def test_create_clears_a_half_made_one(path: Path) -> None:
    path.with_name(path.name + ".new").write_bytes(b"half")
    Database.create(path, KEY).close()
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_no_file(path: Path) -> None:
    with pytest.raises(NoProfile):
        Database.open(path, KEY)
    assert list(path.parent.iterdir()) == []


def test_a_folder_in_its_place(path: Path) -> None:
    path.mkdir()
    with pytest.raises(DatabaseDamaged):
        Database.open(path, KEY)


def test_a_database_that_may_not_be_written(db: Database) -> None:
    db.query("PRAGMA query_only = ON")
    with pytest.raises(ProfileError, match="cannot be opened for writing"):
        meta.put(db, "a", b"1")


def test_another_program_is_writing(db: Database, path: Path) -> None:
    other = Database.open(path, KEY)
    other.query("PRAGMA busy_timeout = 0")
    with db.transaction(), pytest.raises(ProfileError, match="Another program"):
        other.execute("BEGIN IMMEDIATE")
    other.close()


def test_a_key_of_another_length(db: Database, path: Path) -> None:
    db.close()
    with pytest.raises(ValueError, match="32 bytes"):
        Database.open(path, KEY[:31])


def filled(db: Database) -> None:
    with db.transaction():
        for number in range(200):
            meta.put(db, f"row{number}", os.urandom(500))
    db.close()


def _flip(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda path: path.write_bytes(b""), id="empty"),
        pytest.param(lambda path: path.write_bytes(b"hello"), id="text"),
        pytest.param(lambda path: path.write_bytes(os.urandom(40_960)), id="noise"),
        pytest.param(lambda path: os.truncate(path, 1000), id="a piece of a page"),
        pytest.param(lambda path: os.truncate(path, 4096), id="one page"),
        pytest.param(lambda path: os.truncate(path, path.stat().st_size - 4096), id="a page short"),
        pytest.param(lambda path: os.truncate(path, path.stat().st_size - 1), id="a byte short"),
        pytest.param(lambda path: _flip(path, 3), id="a bit of the salt"),
        pytest.param(lambda path: _flip(path, 2000), id="a bit of the first page"),
        pytest.param(lambda path: _flip(path, path.stat().st_size // 2), id="a bit in the middle"),
        pytest.param(lambda path: _flip(path, path.stat().st_size - 1), id="the last bit"),
    ],
)
def test_a_damaged_file(db: Database, path: Path, damage: object, capfd: pytest.CaptureFixture[str]) -> None:
    filled(db)
    assert callable(damage)
    damage(path)
    before = content(path.parent)
    with pytest.raises(DatabaseDamaged):
        Database.open(path, KEY)
    assert content(path.parent) == before
    assert capfd.readouterr() == ("", "")


def test_another_key(db: Database, path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The key file vouches for the key, so a key that does not fit means a file that is not this database."""
    filled(db)
    before = content(path.parent)
    with pytest.raises(DatabaseDamaged):
        Database.open(path, bytes(32))
    assert content(path.parent) == before
    assert capfd.readouterr() == ("", "")


def test_damage_met_while_reading(db: Database, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database too big to be checked at opening tells when the bad page is read."""
    filled(db)
    _flip(path, path.stat().st_size - 100)
    monkeypatch.setattr(database, "CHECKED_BYTES", 0)
    again = Database.open(path, KEY)
    with pytest.raises(DatabaseDamaged):
        again.query("SELECT * FROM meta")
    again.close()


def test_damage_costs_what_stands_on_its_page(db: Database, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One page that does not verify does not end the connection for all the others, in a transaction or outside."""
    filled(db)
    _flip(path, path.stat().st_size - 100)
    monkeypatch.setattr(database, "CHECKED_BYTES", 0)
    again = Database.open(path, KEY)
    with pytest.raises(DatabaseDamaged):
        again.query("SELECT * FROM meta")
    meta.put(again, "after", b"1")

    def write() -> None:
        with again.transaction():
            meta.put(again, "undone", b"1")
            again.query("SELECT * FROM meta")

    with pytest.raises(DatabaseDamaged):
        write()
    with again.transaction():
        assert meta.get(again, "after") == b"1"
        assert meta.get(again, "undone") is None
        meta.put(again, "after", b"2")
    assert again.damaged_pages() == 1
    assert meta.get(again, "after") == b"2"
    again.close()


def test_damage_never_leads_to_writing_into_another_database(
    db: Database, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A damaged database makes us connect again, by its path, where a copy may have been put meanwhile."""
    filled(db)
    copy = tmp_path / "copy.db"
    shutil.copyfile(path, copy)
    _flip(path, path.stat().st_size - 100)
    monkeypatch.setattr(database, "CHECKED_BYTES", 0)
    again = Database.open(path, KEY)
    with pytest.raises(DatabaseDamaged):
        again.query("SELECT * FROM meta")
    for leftover in again.files()[1:]:
        leftover.unlink(missing_ok=True)
    path.with_name(path.name + "-shm").unlink(missing_ok=True)
    os.replace(copy, path)
    before = content(path.parent)
    for _ in range(2):
        with pytest.raises(ProfileGone):
            meta.put(again, "after", b"1")
    again.close()
    assert content(path.parent) == before


def test_the_page_cache_does_not_grow_with_traffic_for_hours(db: Database) -> None:
    assert db.query_one("PRAGMA cache_size") == (-database.CACHE_KIB,)


def test_a_newer_database_stays_as_it_is(db: Database, path: Path, tmp_path: Path) -> None:
    """Also with a log that a crash left: to close a writable connection would copy it into the file."""
    newer = len(database.migrations()) + 1
    db.query(f"PRAGMA user_version = {newer}")
    copy = crashed_copy(db, tmp_path / "copy")
    before = content(copy.parent)
    assert len(before) == 2
    with pytest.raises(DatabaseNewer):
        Database.open(copy, KEY)
    assert content(copy.parent) == before


# --- migrations ----------------------------------------------------------------------------------


def test_migrations_are_numbered_without_a_gap() -> None:
    folder = Path(database.__file__).parent / "migrations"
    assert [file.name[:4] for file in sorted(folder.iterdir())] == [
        f"{number:04}" for number in range(1, len(database.migrations()) + 1)
    ]


def test_every_step_from_version_1_keeps_what_is_there(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scripts = [*database.migrations(), "CREATE TABLE later (a INTEGER) STRICT;", "INSERT INTO later VALUES (7);"]
    monkeypatch.setattr(database, "migrations", lambda: scripts[:1])
    first = Database.create(path, KEY)
    meta.put(first, "from", b"version 1")
    first.close()
    for version in range(1, len(scripts) + 1):
        monkeypatch.setattr(database, "migrations", lambda version=version: scripts[:version])
        step = Database.open(path, KEY)
        assert step.query_one("PRAGMA user_version") == (version,)
        assert meta.get(step, "from") == b"version 1"
        step.close()
    last = Database.open(path, KEY)
    assert last.query("SELECT a FROM later") == [(7,)]
    last.close()


def test_what_contacts_told_last_counts_for_each_kind_of_news(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = database.migrations()
    with monkeypatch.context() as patched:
        patched.setattr(database, "migrations", lambda: real[:2])
        old = Database.create(path, KEY)
        old.execute(_OLD_CONTACT, (ALICE,))
        for contact in (ALICE, BOB):  # the second one is gone
            meta.put(old, f"told {contact.hex()}", b"an id")
        meta.put(old, "ways_told", b"ours")
        old.close()
    db = Database.open(path, KEY)
    assert db.query("SELECT key, value FROM meta WHERE key LIKE '%told%'") == [("ways_told", b"ours")]
    assert facts.of_all(db, Fact.TOLD_NAME) == facts.of_all(db, Fact.TOLD_WAYS) == [(ALICE, b"an id")]
    db.close()


_OLD_CONTACT = (
    "INSERT INTO contacts (id, name, named_by_me, state, device, bundle, verified, created_at, read_receipts,"
    " profile_name) VALUES (?, 'Alice', 0, 'contact', x'01', x'02', 0, 5, 1, 'Alice')"
)


# versions of the schema that profiles in use were left at
@pytest.mark.parametrize("version", [4, 6, 9])
def test_what_waits_in_an_old_profile_has_a_form(path: Path, monkeypatch: pytest.MonkeyPatch, version: int) -> None:
    real = database.migrations()
    kinds = {1: 0, 2: 100, 3: 101, 4: 102, 5: 103, 6: 17, 7: 0}
    with monkeypatch.context() as patched:
        patched.setattr(database, "migrations", lambda: real[:version])
        old = Database.create(path, KEY)
        old.execute(
            "INSERT INTO invites (id, kind, hello, expires_at, ask, state, created_at)"
            " VALUES (x'01', 0, x'02', 9, 0, 'open', 1)"
        )
        old.execute(
            "INSERT INTO their_queues (id, invite, relay, address, token, fetch, put_seed, flags, until)"
            " VALUES (1, x'01', x'02', x'03', x'', x'04', x'05', 1, 9)"
        )
        old.executemany(
            "INSERT INTO outbox (pk, contact, kind, msg_id, envelope_id, th, created_at, acked_at, attempts, next_try,"
            " expires_at, content, envelope)"
            " VALUES (?1, x'0a', ?2, x'0b', CAST(?1 AS BLOB), x'0c', 1, 2, 3, 4, 5, x'0d', x'0e')",
            list(kinds.items()),
        )
        old.execute("INSERT INTO deposits (outbox, queue, until, attempts, next_try) VALUES (4, 1, 6, 7, 8)")
        old.execute("DELETE FROM outbox WHERE pk = 7")
        old.close()
    db = Database.open(path, KEY)
    assert db.query("SELECT pk, form, kind FROM outbox ORDER BY pk") == [
        (1, "content", 0),
        (2, "initial", None),
        (3, "renewal", None),
        (4, "box", None),
        (5, "request", None),
        (6, "content", 17),
    ]
    row = outbox.get(db, 6)
    assert row is not None
    assert (row.recipient, row.form, row.session_id, row.content, row.envelope) == (
        b"\n",
        "content",
        b"\f",
        b"\r",
        b"\x0e",
    )
    assert (row.created_at, row.acked_at, row.attempts, row.next_try, row.expires_at) == (1, 2, 3, 4, 5)
    assert db.query("SELECT outbox, queue, until, attempts, next_try FROM deposits") == [(4, 1, 6, 7, 8)]
    outbox.remove(db, [4])
    assert db.query("SELECT * FROM deposits") == []  # what is deposited still goes with its row
    assert outbox.add(db, row_of(MessageId(b"new"))) == 8  # and no pk is given twice
    assert db.query("PRAGMA foreign_key_check(deposits)") == []
    db.close()


@pytest.mark.parametrize("version", [4, 6, 9, 10, 12])
def test_an_old_profile_gets_chats_and_devices(path: Path, monkeypatch: pytest.MonkeyPatch, version: int) -> None:
    real = database.migrations()
    with monkeypatch.context() as patched:
        patched.setattr(database, "migrations", lambda: real[:version])
        old = Database.create(path, KEY)
        old.execute(_OLD_CONTACT, (ALICE,))
        old.execute("INSERT INTO drafts (chat, text) VALUES (?, 'begun')", (ALICE,))
        old.execute("INSERT INTO sessions VALUES (x'01', ?, 1, x'02', x'03', x'04', 5, 1, NULL, 0)", (ALICE,))
        old.execute("INSERT INTO skipped_keys VALUES (x'01', 2, 3, x'04', 5)")
        old.execute(
            "INSERT INTO own_queues (qid, contact, relay, addresses, token, fetch_seed, put, put_seed, flags, made_at)"
            " VALUES (x'11', ?, x'12', x'90', x'', zeroblob(32), x'13', x'14', 0, 6)",
            (ALICE,),
        )
        old.execute(
            "INSERT INTO their_queues (id, contact, relay, address, token, fetch, put_seed, flags, until)"
            " VALUES (7, ?, x'12', x'13', x'', x'14', x'15', 0, 9)",
            (ALICE,),
        )
        old.execute("INSERT INTO ways VALUES (?, x'16', x'17', 0, 8)", (ALICE,))
        if version >= 6:
            old.execute(
                "INSERT INTO renewals (contact, wanted_at, asks_until, answers_until, replaced, began_anew, lately)"
                " VALUES (?, 3, 4, 5, x'', x'06', x'')",
                (ALICE,),
            )
        if version >= 12:
            old.execute("INSERT INTO timers (chat, seconds, sender, id, at) VALUES (?, 60, x'', x'0a', 7)", (ALICE,))
        for key in ("introduction", "queues put off", "sealing"):
            meta.put(old, f"{key} {ALICE.hex()}", key.encode())
            meta.put(old, f"{key} {BOB.hex()}", b"of one who is gone")
        old.close()
    db = Database.open(path, KEY)
    assert db.query("PRAGMA foreign_key_check") == []
    alice = contacts.get(db, ALICE)
    assert alice is not None
    assert (alice.device, alice.bundle) == (b"\x01", b"\x02")
    assert devices.of(db, ALICE) == [DeviceRow(ALICE_DEVICE, ALICE, b"\x01", b"\x02", 5)]
    chat = ChatRow(ALICE_CHAT, ChatKind.DIRECT, 5, draft="begun")
    timed = chat._replace(timer_seconds=60, timer_by=ME, timer_at=7, timer_id=MessageId(b"\n"))
    assert chats.get(db, ALICE_CHAT) == (timed if version >= 12 else chat)
    assert chats.get(db, NOTES) == ChatRow(NOTES, ChatKind.NOTES, 0)
    assert chats.members(db, ALICE_CHAT) == [ALICE]
    assert [row.session_id for row in sessions.for_device(db, ALICE_DEVICE)] == [b"\x01"]
    assert sessions.skipped(db, SessionId(b"\x01")) == [(2, 3, b"\x04")]
    assert [row.device for _, row in queues.own(db, ALICE_DEVICE)] == [ALICE_DEVICE]
    assert [(row.id, row.device) for row in queues.theirs(db)] == [(7, ALICE_DEVICE)]
    assert devices.ways(db, ALICE_DEVICE) == [Way(PeerKey(b"\x16"), b"\x17", 0)]
    renewal = RenewalRow(ALICE_DEVICE, wanted_at=3, asks_until=4, answers_until=5, began_anew=b"\x06")
    assert renewals.get(db, ALICE_DEVICE) == (renewal if version >= 6 else RenewalRow(ALICE_DEVICE))
    assert [facts.get(db, ALICE, fact) for fact in (Fact.INTRODUCTION, Fact.QUEUES_PUT_OFF, Fact.SEALING)] == [
        b"introduction",
        b"queues put off",
        b"sealing",
    ]
    assert db.query("SELECT * FROM meta") == []
    queues.deposit_no_more(db, ALICE_DEVICE, 0)
    queues.deposit_in(db, TheirQueueRow(ALICE_DEVICE, None, PeerKey(b"r"), b"a", b"", b"f", b"p", 0, 9))
    assert [row.id for row in queues.theirs(db)] == [8]  # no id is given twice
    contacts.remove(db, ALICE)  # all of it goes with the contact
    of_contacts = ("devices", "sessions", "skipped_keys", "own_queues", "their_queues", "chat_members", "contact_facts")
    for table in (*of_contacts, "ways", "renewals"):
        assert db.query(f"SELECT * FROM {table}") == []
    assert set(chats.listed(db)) == {NOTES}
    db.close()


def row_of(msg_id: MessageId) -> OutboxRow:
    return OutboxRow(first_device(ContactId(b"\n")), 0, msg_id, b"content", 1, 2, 3)


def test_what_waits_says_what_it_is(db: Database) -> None:
    """A content has a type, whatever its number; what is no content has none."""
    hundredth = replace(row_of(MessageId(b"m")), kind=100)
    pk = outbox.add(db, hundredth)
    assert outbox.get(db, pk) == replace(hundredth, pk=pk)
    assert outbox.initial(db, first_device(ContactId(b"\n"))) is None
    for wrong in (replace(row_of(MessageId(b"n")), kind=None), replace(row_of(MessageId(b"n")), form=OutboxForm.BOX)):
        with pytest.raises(sqlcipher.IntegrityError):
            outbox.add(db, wrong)


def test_an_old_profile_knows_how_often_its_invites_were_used(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = database.migrations()
    with monkeypatch.context() as patched:
        patched.setattr(database, "migrations", lambda: real[:17])
        old = Database.create(path, KEY)
        invite = (
            "INSERT INTO invites (id, kind, hello, expires_at, ask, state, created_at) VALUES (?, 1, x'', 9, 1, ?, 1)"
        )
        old.executemany(invite, [(b"used", "open"), (b"idle", "open")])
        old.execute(
            "INSERT INTO contacts (id, name, named_by_me, state, verified, created_at, invite_id, read_receipts,"
            " profile_name) VALUES (x'01', 'bob', 0, 'contact', 0, 1, ?, 1, '')",
            (b"used",),
        )
        old.close()
    db = Database.open(path, KEY)
    found = db.query("SELECT id, uses, label, revoked_at FROM invites ORDER BY id")
    assert found == [(b"idle", 0, "", None), (b"used", 1, "", None)]
    assert db.query("SELECT note FROM contacts") == [("",)]
    db.close()


def test_an_old_profile_loses_quotes_that_could_outlive_their_messages(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = database.migrations()
    with monkeypatch.context() as patched:
        patched.setattr(database, "migrations", lambda: real[:21])
        old = Database.create(path, KEY)
        old.execute("INSERT INTO chats (id, kind, created_at, timer_id) VALUES (x'01', 'direct', 1, x'0a')")
        old.execute("INSERT INTO chats (id, kind, created_at) VALUES (x'02', 'direct', 1)")
        insert = (
            "INSERT INTO messages (id, chat, sender, kind, seq, text, sent_at, state, place, reply_to, quote, expire_s)"
            " VALUES (?, ?, x'0b', 0, ?, '', 1, 'received', 1, ?, ?, ?)"
        )
        for chat in (b"\1", b"\2"):
            old.executemany(insert, [(b"stays", chat, 1, None, "", 0), (b"timed", chat, 2, None, "", 60)])
            for seq, quoted in enumerate((b"stays", b"timed", b"absent"), 3):
                old.execute(insert, (b"of " + quoted, chat, seq, quoted, "words", 0))
        old.close()
    db = Database.open(path, KEY)
    found = db.query("SELECT chat, reply_to FROM messages WHERE quote <> '' ORDER BY pk")
    assert found == [(b"\1", b"stays"), (b"\2", b"stays"), (b"\2", b"absent")]
    db.close()


def test_what_waits_in_an_old_profile_was_said_by_the_author_of_its_message(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = database.migrations()
    with monkeypatch.context() as patched:
        patched.setattr(database, "migrations", lambda: real[:23])
        old = Database.create(path, KEY)
        old.execute(
            "INSERT INTO waiting (chat, message, author, kind, id, until, content)"
            " VALUES (?, x'01', ?, 3, x'02', 9, x'03')",
            (ALICE, ALICE),
        )
        old.close()
    db = Database.open(path, KEY)
    assert waiting.take(db, ALICE_CHAT, MessageId(b"\x01"), ALICE) == [(ALICE, b"\x03")]
    assert db.query("PRAGMA foreign_key_check") == []
    db.close()


def test_a_migration_that_fails_changes_nothing(db: Database, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    db.close()
    real = database.migrations()
    broken = "CREATE TABLE later (a INTEGER); INSERT INTO nowhere VALUES (1);"
    with monkeypatch.context() as patched:
        patched.setattr(database, "migrations", lambda: [*real, broken])
        with pytest.raises(sqlcipher.OperationalError):
            Database.open(path, KEY)
    again = Database.open(path, KEY)
    assert again.query_one("PRAGMA user_version") == (len(real),)
    assert again.query("SELECT 1 FROM sqlite_schema WHERE name = 'later'") == []
    again.close()


# --- meta ----------------------------------------------------------------------------------------


def test_meta(db: Database) -> None:
    assert meta.get(db, "a") is None
    assert meta.get_int(db, "n", 5) == 5
    meta.put(db, "a", b"1")
    meta.put(db, "a", b"2")
    meta.put_int(db, "n", -(2**63))
    assert (meta.get(db, "a"), meta.get_int(db, "n")) == (b"2", -(2**63))
    meta.remove(db, "a")
    assert meta.get(db, "a") is None
