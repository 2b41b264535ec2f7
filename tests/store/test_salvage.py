"""A damaged database: what can be read of it is read, and makes a new one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from p2pchat.core.contents import File
from p2pchat.core.delivery import DeliveryState
from p2pchat.core.files import CHUNK_BYTES
from p2pchat.core.ids import (
    NOTES,
    ChatId,
    ContactId,
    EnvelopeId,
    MessageId,
    PeerKey,
    SessionId,
    direct_chat,
    first_device,
)
from p2pchat.errors import DatabaseDamaged, DiskFull, NoProfile
from p2pchat.store import (
    chats,
    contacts,
    database,
    devices,
    envelopes,
    files,
    messages,
    meta,
    outbox,
    search_backlog,
    sessions,
)
from p2pchat.store.contacts import Contact, ContactState
from p2pchat.store.database import Database, Value
from p2pchat.store.devices import DeviceRow, Way
from p2pchat.store.envelopes import SeenRow
from p2pchat.store.files import FileRow, FileState
from p2pchat.store.messages import ME, MessageRow
from p2pchat.store.outbox import OutboxRow
from p2pchat.store.salvage import salvage
from p2pchat.store.search import search
from p2pchat.store.search_query import Query, Term
from p2pchat.store.sessions import SessionRow
from tests.store.conftest import ALICE, ALICE_CHAT, ALICE_DEVICE, BOB, BOB_CHAT
from tests.support.databases import KEY

PAGE = 4096
MANY = 3000
SEEN = [EnvelopeId(os.urandom(16)) for _ in range(MANY)]


@pytest.fixture
def filled(db: Database, path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A database of some hundred pages, too big to be checked at opening."""
    monkeypatch.setattr(database, "CHECKED_BYTES", 0)
    with db.transaction():
        for contact in (ALICE, BOB):
            contacts.add(
                db, Contact(contact, contact.decode(), False, ContactState.CONTACT, contact * 4, None, None, False, 1)
            )
        for number in range(1, MANY + 1):
            chat = (ALICE, BOB)[number % 2]
            messages.insert(db, message(number, direct_chat(chat)))
        envelopes.remember(db, [SeenRow(id, ALICE, None, 1) for id in SEEN])
        meta.put(db, "name", b"carol")
    search_backlog.before_search(db)
    db.close()
    return path


def message(
    number: int, chat: ChatId, sender: bytes | None = None, state: DeliveryState = DeliveryState.RECEIVED
) -> MessageRow:
    id = number.to_bytes(16, "big")
    return MessageRow(
        MessageId(id),
        chat,
        ContactId(chat if sender is None else sender),
        0,
        number,
        f"word{number} " * 9,
        number,
        state,
    )


def damage(path: Path, *pages: int) -> None:
    """Change one byte of pages, counted from 1 as SQLite does."""
    with path.open("r+b") as file:
        for page in pages:
            file.seek((page - 1) * PAGE + 1000)
            byte = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte[0] ^ 1]))


KEYS: dict[str, tuple[str, Sequence[Value]]] = {
    "messages": ("pk", range(1, MANY + 1)),
    "envelopes_seen": ("id", SEEN),
    "file_parts": ("message", range(10, MANY + 1, 10)),
}
"""The key of a table, and that of each of its rows."""


def leaves(path: Path, table: str, count: int) -> list[int]:
    """The numbers of pages that hold rows, tried one by one: this SQLite has no table of its pages."""
    db = Database.open(path, KEY)
    total = db.query("PRAGMA page_count")[0][0]
    db.close()
    copy, found = path.with_name("trial.db"), list[int]()
    for page in range(total // 2, total):
        copy.write_bytes(path.read_bytes())
        damage(copy, page)
        if 0 < unreadable(copy, table) < MANY // 10:
            found.append(page)
        if len(found) == count:
            break
    return found


def unreadable(path: Path, table: str) -> int:
    """How many rows cannot be read one by one; 0 where all can, or not even their keys."""
    key, values = KEYS[table]
    db = Database.open(path, KEY)
    lost = 0
    try:
        if whole(db, table):
            return 0
        for value in values:
            try:
                db.query(f"SELECT * FROM {table} NOT INDEXED WHERE {key} = ?", (value,))
            except DatabaseDamaged:
                lost += 1
    except DatabaseDamaged:
        return 0
    finally:
        db.close()
    return lost


def whole(db: Database, table: str) -> bool:
    """Whether every row can be read."""
    try:
        db.query(f"SELECT * FROM {table} NOT INDEXED")
    except DatabaseDamaged:
        return False
    return True


@pytest.fixture
def with_files(filled: Path) -> Path:
    """The same, where every tenth message has a file, of which all is here but a chunk."""
    db = Database.open(filled, KEY)
    with db.transaction():
        for number in range(10, MANY + 1, 10):
            (row,) = messages.with_id(db, MessageId(number.to_bytes(16, "big")))
            payload = File(0, f"{number}.bin", "", 5 * CHUNK_BYTES, KEY, KEY, preview=os.urandom(200))
            file = FileRow.of_message(row, payload, FileState.WAITING)
            files.add(db, replace(file, space=f"{row.pk:032x}", space_key=KEY))
            files.mark(db, file, range(file.layout.blobs - 1))
    db.close()
    return filled


def test_files_are_kept_with_what_is_known_to_be_here(with_files: Path) -> None:
    done = salvage(with_files, KEY)
    db = Database.open(with_files, KEY)
    rows = files.unfinished(db, FileState.WAITING)
    assert done.rows["files"] == done.rows["file_parts"] == len(rows) == MANY // 10
    assert {row.done for row in rows} == {4}
    assert files.marked(db, rows[-1].message) == {0, 1, 2, 3, 4}
    assert files.unneeded(db) == []
    db.close()


@pytest.mark.parametrize("table", ["messages", "file_parts"])
def test_a_file_is_not_kept_without_its_message_nor_counted_as_here(with_files: Path, table: str) -> None:
    (page,) = leaves(with_files, table, 1)
    db = Database.open(with_files, KEY)
    before = {row.message: row.space for row in files.unfinished(db, FileState.WAITING)}
    db.close()
    damage(with_files, page)
    done = salvage(with_files, KEY)
    assert done.incomplete == [table]
    db = Database.open(with_files, KEY)
    rows = files.unfinished(db, FileState.WAITING)
    lost = set(before) - {row.message for row in rows}
    assert bool(lost) == (table == "messages")
    assert set(files.unneeded(db)) == {before[message] for message in lost}
    assert {message for (message,) in db.query("SELECT message FROM file_parts")} <= {row.message for row in rows}
    assert {row.done for row in rows} == ({4} if table == "messages" else {4, 0})
    assert all(row.done == max(0, len(files.marked(db, row.message)) - 1) for row in rows)
    db.close()


def test_what_belongs_to_what_belonged_to_a_lost_row_goes_too(filled: Path) -> None:
    db = Database.open(filled, KEY)
    for contact in (ALICE, BOB):
        devices.set_ways(db, first_device(contact), [Way(PeerKey(contact * 4), b"somewhere", 0)], 1)
    db.query("PRAGMA foreign_keys = OFF")
    db.execute("DELETE FROM contacts WHERE id = ?", (ALICE,))
    db.close()
    salvage(filled, KEY)
    db = Database.open(filled, KEY)
    assert db.query("SELECT device FROM ways") == [(BOB,)]
    db.close()


def test_nothing_is_lost_of_a_whole_one(filled: Path) -> None:
    done = salvage(filled, KEY)
    assert (done.incomplete, done.unsent) == ([], 0)
    assert done.rows["messages"] == done.rows["envelopes_seen"] == MANY
    again = Database.open(filled, KEY)
    assert again.damaged_pages() == 0
    assert again.query("PRAGMA integrity_check") == [("ok",)]
    assert meta.get(again, "name") == b"carol"
    assert [row.text for row in search(again, Query((Term("word2999"),)), None, None, 9)] == ["word2999 " * 9]
    assert messages.page(again, ALICE_CHAT, MANY) == [
        message(number, ALICE_CHAT)._replace(pk=number, place=number) for number in range(2, MANY + 1, 2)
    ]
    again.execute("INSERT INTO messages_fts (messages_fts) VALUES ('integrity-check')")
    again.close()
    assert done.damaged.exists()


def test_damage_is_found_read_round_and_salvaged(filled: Path) -> None:
    """Two bad pages of messages: a chat shows the others, and the new database lacks nothing else."""
    damage(filled, *leaves(filled, "messages", count=2))
    db = Database.open(filled, KEY)
    assert db.damaged_pages() == 2
    shown = len(messages.page(db, ALICE_CHAT, MANY)) + len(messages.page(db, BOB_CHAT, MANY))
    assert MANY - 100 < shown < MANY
    assert len(messages.since(db, None, 0)) == len(messages.newest(db, None, MANY)) == shown
    assert len(search(db, Query((Term("word", open_end=True),)), None, None, MANY)) == shown
    assert set(chats.listed(db)) == {ALICE_CHAT, BOB_CHAT, NOTES}
    with db.transaction():
        messages.insert(db, message(MANY + 1, ALICE_CHAT))
    db.close()
    done = salvage(filled, KEY)
    assert done.incomplete == ["messages"]
    assert done.rows["messages"] == shown + 1
    assert done.rows["envelopes_seen"] == MANY
    again = Database.open(filled, KEY)
    assert again.damaged_pages() == 0
    assert len(search(again, Query((Term("word", open_end=True),)), None, None, MANY + 1)) == shown + 1
    again.close()


def test_a_table_whose_key_is_no_number_is_walked_round_damage_too(filled: Path) -> None:
    (page,) = leaves(filled, "envelopes_seen", count=1)
    damage(filled, page)
    lost = unreadable(filled, "envelopes_seen")
    done = salvage(filled, KEY)
    assert done.incomplete == ["envelopes_seen"]
    assert MANY - lost <= done.rows["envelopes_seen"] <= MANY - lost + 1  # one stands on the page above


def test_what_belonged_to_a_lost_row_goes_and_what_waited_has_failed(db: Database, path: Path) -> None:
    """The outbox cannot be read: what was to be sent from it is not called saved any more."""
    with db.transaction():
        contacts.add(db, Contact(ALICE, "alice", False, ContactState.CONTACT, ALICE * 4, None, None, False, 1))
        for number in (1, 2):
            messages.insert(db, message(number, ALICE_CHAT, ME, DeliveryState.SAVED))
            outbox.add(db, OutboxRow(ALICE_DEVICE, 0, MessageId(number.to_bytes(16, "big")), b"x", 1, 1, 1))
        chats.keep_draft(db, ALICE_CHAT, "draft")
    root = db.query("SELECT rootpage FROM sqlite_master WHERE name = 'outbox'")[0][0]
    db.close()
    damage(path, root)
    done = salvage(path, KEY)
    assert (done.incomplete, done.unsent) == (["outbox"], 2)
    again = Database.open(path, KEY)
    assert {row.state for row in messages.page(again, ALICE_CHAT, 9)} == {"failed"}
    contacts_root = again.query("SELECT rootpage FROM sqlite_master WHERE name = 'contacts'")[0][0]
    again.close()
    damage(path, contacts_root)
    done = salvage(path, KEY)
    assert done.damaged.name == "profile.db.damaged-2"
    again = Database.open(path, KEY)
    assert again.query("SELECT kind FROM chats") == [("notes",)]
    assert again.query("PRAGMA foreign_key_check") == []
    again.close()


def test_sessions_stay_where_the_row_of_their_device_is_lost(db: Database, path: Path) -> None:
    contacts.add(db, Contact(ALICE, "alice", False, ContactState.CONTACT, ALICE * 4, b"key", b"bundle", False, 1))
    session_id = SessionId(b"s" * 32)
    sessions.save(db, SessionRow(session_id, ALICE_DEVICE, True, b"r", b"s", b"state", 1, True, None, False))
    roots = db.query("SELECT rootpage FROM sqlite_master WHERE name IN ('devices', 'chats', 'chat_members')")
    db.close()
    damage(path, *(root for (root,) in roots))
    assert sorted(salvage(path, KEY).incomplete) == ["chat_members", "chats", "devices"]
    again = Database.open(path, KEY)
    assert [row.session_id for row in sessions.for_device(again, ALICE_DEVICE)] == [session_id]
    assert devices.of(again, ALICE) == [DeviceRow(ALICE_DEVICE, ALICE, None, None, 1)]
    assert set(chats.listed(again)) == {ALICE_CHAT, NOTES}
    assert chats.members(again, ALICE_CHAT) == [ALICE]
    again.close()


def test_numbers_are_not_given_again(filled: Path) -> None:
    db = Database.open(filled, KEY)
    messages.delete(db, MANY)
    db.close()
    salvage(filled, KEY)
    again = Database.open(filled, KEY)
    messages.insert(again, message(MANY + 5, ALICE_CHAT))
    assert messages.newest(again, None, 1)[0].pk == MANY + 1
    again.close()


@pytest.mark.parametrize("page", [1, 2])
def test_what_cannot_be_read_at_all_stays_as_it_is(filled: Path, page: int) -> None:
    """The list of tables stands on the first pages."""
    damage(filled, page)
    before = filled.read_bytes()
    try:
        salvage(filled, KEY)
    except DatabaseDamaged:
        assert filled.read_bytes() == before
        assert [file.name for file in filled.parent.iterdir() if "salvaged" in file.name] == []


def test_a_full_disk_replaces_nothing(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise DiskFull

    before = filled.read_bytes()
    monkeypatch.setattr(database, "sync_folder", full)
    monkeypatch.setattr("p2pchat.store.salvage._keep_numbering", full)
    with pytest.raises(DiskFull):
        salvage(filled, KEY)
    assert filled.read_bytes() == before
    assert [file.name for file in filled.parent.iterdir()] == [filled.name]


def test_no_database(path: Path) -> None:
    with pytest.raises(NoProfile):
        salvage(path, KEY)
