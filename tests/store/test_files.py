"""Files of messages: their rows, which blobs are here, and which sealed files nothing needs any more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from p2pchat.core.contents import File
from p2pchat.core.contents.transfer import TransferNews
from p2pchat.core.delivery import DeliveryState
from p2pchat.core.files import CHUNK_BYTES, file_id
from p2pchat.core.ids import ChatId, ContactId, MessageId
from p2pchat.store import chats, clearing, contacts, database, files, messages, remarks
from p2pchat.store.contacts import Contact, ContactState
from p2pchat.store.database import Database
from p2pchat.store.files import PART_SLOTS, FileRow, FileState
from p2pchat.store.messages import ME, MessageRow
from tests.store.conftest import ALICE, ALICE_CHAT, BOB_CHAT

TWO_PARTS = CHUNK_BYTES * (PART_SLOTS + 1)


def sent(db: Database, number: int, chat: ChatId = ALICE_CHAT, who: ContactId = ALICE, size: int = 10) -> FileRow:
    """A saved file message, with its file as a row."""
    payload = File(
        0, f"{number}.txt", "text/plain", size, bytes([number]) * 32, bytes(32), preview=b"seen", caption="c"
    )
    row = MessageRow(
        id=MessageId(number.to_bytes(16, "big")),
        chat=chat,
        sender=who,
        kind=File.KIND.number,
        seq=number,
        text=payload.caption,
        sent_at=number,
        state=DeliveryState.SAVED if who == ME else DeliveryState.RECEIVED,
    )
    inserted = messages.insert(db, row)
    assert inserted is not None
    file = FileRow.of_message(row._replace(pk=inserted.pk), payload, FileState.WAITING)
    files.add(db, file)
    return file


def kept(db: Database, number: int, **fields: object) -> FileRow:
    """The same, with a sealed file of the name `sN`."""
    row = sent(db, number, **fields)  # type: ignore[arg-type]
    files.update(db, row.message, space=f"s{number}", space_key=bytes(32))
    return row


def test_what_is_saved_is_read(db: Database) -> None:
    row = replace(
        sent(db, 1, who=ME),
        state=FileState.PAUSED,
        problem="The disk is full.",
        ended_at=4,
        source=b"/home/\xff",
        source_size=10,
        source_mtime=2,
        source_inode=3,
        space="ab",
        space_key=b"k" * 32,
    )
    names = ("state", "problem", "source", "source_size", "source_mtime", "source_inode", "space", "space_key")
    files.update(db, row.message, ended_at=4, **{name: getattr(row, name) for name in names})
    found = files.get(db, row.message)
    assert found == row
    assert found.payload("c") == File(0, "1.txt", "text/plain", 10, b"\1" * 32, bytes(32), preview=b"seen", caption="c")
    assert files.of(db, [row.message, 99]) == {row.message: row}
    assert files.get(db, 99) is None
    assert bytes(32).hex() not in repr(row)


def test_what_identifies_a_file_cannot_be_changed(db: Database) -> None:
    row = sent(db, 1)
    for name in ("key", "root", "file", "size", "chat", "mine"):
        with pytest.raises(ValueError, match=name):
            files.update(db, row.message, **{name: 1})


def test_ours_is_found_by_its_id_in_the_chat_it_was_sent_to(db: Database) -> None:
    row, theirs = sent(db, 1, who=ME), sent(db, 2)
    sent(db, 3, chat=BOB_CHAT, who=ME)
    assert files.ours(db, ALICE_CHAT, file_id(b"\1" * 32, bytes(32))) == row
    assert files.ours(db, BOB_CHAT, row.file) is None
    assert files.ours(db, ALICE_CHAT, theirs.file) is None


def test_files_of_a_chat_come_in_pages(db: Database) -> None:
    rows = [sent(db, number) for number in range(1, 6)]
    sent(db, 6, chat=BOB_CHAT)
    assert files.in_chat(db, ALICE_CHAT, 2) == rows[3:]
    assert files.in_chat(db, ALICE_CHAT, 2, rows[3].message) == rows[1:3]


def test_what_ended_is_not_unfinished(db: Database) -> None:
    first, second, third = (sent(db, number) for number in (1, 2, 3))
    files.update(db, second.message, state=FileState.PAUSED.value)
    files.update(db, third.message, ended_at=1)
    assert files.unfinished(db, FileState.WAITING) == [first]
    assert [row.message for row in files.unfinished(db, FileState.PAUSED)] == [second.message]


def test_bytes_are_summed_for_each_side_of_a_chat(db: Database) -> None:
    kept(db, 1, size=5), kept(db, 2, size=7), kept(db, 3, size=100, who=ME), kept(db, 4, size=3, chat=BOB_CHAT)
    sent(db, 5, size=1000)
    assert files.kept_bytes(db, ALICE_CHAT, mine=False) == 12
    assert files.kept_bytes(db, ALICE_CHAT, mine=True) == 100
    assert files.awaited(db, ALICE_CHAT) == (3, 1000)


@pytest.mark.parametrize(
    ("sql", "values", "index"),
    [
        (files._OURS, (b"", b""), "files_by_id (file=?)"),
        (files._IN_CHAT, (b"", 1, 1), "files_in_chat (chat=? AND message<?)"),
        (files._UNFINISHED, ("",), "files_by_state (state=?)"),
        (files._KEPT_BYTES, (b"", 0), "files_kept (chat=? AND mine=?)"),
        (files._AWAITED, (b"",), "files_by_state (state=?)"),
    ],
)
def test_nothing_reads_more_rows_than_it_returns(
    db: Database, sql: str, values: tuple[database.Value, ...], index: str
) -> None:
    (plan,) = [detail for *_, detail in db.query(f"EXPLAIN QUERY PLAN {sql}", values)]
    assert plan.endswith(index)


# --- news ----------------------------------------------------------------------------------------


def test_only_the_newest_news_counts(db: Database) -> None:
    row = sent(db, 1, who=ME)
    ids = [MessageId(bytes([number]) * 16) for number in range(3)]
    assert files.note_news(db, row.message, TransferNews.DECLINED, ids[1])
    assert not files.note_news(db, row.message, TransferNews.WHOLE, ids[0])
    assert not files.note_news(db, row.message, TransferNews.WHOLE, ids[1])
    assert files.note_news(db, row.message, TransferNews.WANTED, ids[2])
    found = files.get(db, row.message)
    assert found is not None
    assert (found.news, found.news_id) == (TransferNews.WANTED, ids[2])


# --- blobs ---------------------------------------------------------------------------------------


def test_marks_are_kept_and_chunks_counted(db: Database) -> None:
    row = sent(db, 1, size=TWO_PARTS)
    lists = row.layout.slot_of_first_chunk
    assert lists == 4  # the root and three lists
    assert files.mark(db, row, [0, 1, 2, 3]) == 0
    assert files.mark(db, row, [lists, lists + 1, PART_SLOTS, PART_SLOTS + 3]) == 4
    assert files.mark(db, row, [lists, lists + 2]) == 5
    assert files.marked(db, row.message) == {0, 1, 2, 3, *range(lists, lists + 3), PART_SLOTS, PART_SLOTS + 3}
    found = files.get(db, row.message)
    assert found is not None
    assert found.done == 5


@pytest.mark.parametrize("slot", [-1, PART_SLOTS + 5])
def test_a_blob_that_there_is_not_cannot_be_marked(db: Database, slot: int) -> None:
    row = sent(db, 1, size=TWO_PARTS)
    assert row.layout.blobs == PART_SLOTS + 5
    with pytest.raises(ValueError, match="no such blob"):
        files.mark(db, row, [slot])
    assert files.marked(db, row.message) == set()


# --- deleting --------------------------------------------------------------------------------------------


def retract(db: Database, row: MessageRow) -> None:
    remarks.retract(db, row, 1, 1)


def clear(db: Database, row: MessageRow) -> None:
    clearing.begin(db, row.chat)
    clearing.go_on(db, row.chat)


WAYS: dict[str, Callable[[Database, MessageRow], object]] = {
    "here": lambda db, row: messages.delete(db, row.pk),
    "for both": retract,
    "clearing": clear,
    "forgetting": lambda db, row: messages.forget_chat(db, row.chat),
}


@pytest.mark.parametrize("way", WAYS)
def test_what_deletes_a_message_deletes_its_file_and_says_what_is_unneeded(db: Database, way: str) -> None:
    chats_of = Contact(ALICE, "alice", False, ContactState.CONTACT, None, None, None, False, 1)
    contacts.add(db, chats_of)
    row, other = kept(db, 1), kept(db, 2, chat=BOB_CHAT)
    files.mark(db, row, [0])
    message = messages.with_id(db, MessageId((1).to_bytes(16, "big")))[0]
    with db.transaction():
        WAYS[way](db, message)
    assert files.get(db, row.message) is None
    assert files.marked(db, row.message) == set()
    assert (files.unneeded(db), files.spaces(db)) == (["s1"], {"s2"})
    files.unlinked(db, ["s1", "never there"])
    assert files.unneeded(db) == []
    assert files.get(db, other.message) is not None


def test_a_deletion_that_is_undone_leaves_the_file_needed(db: Database) -> None:
    row = kept(db, 1)

    def fail() -> None:
        with db.transaction():
            messages.delete(db, row.message)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert files.unneeded(db) == []


def test_another_sealed_file_makes_the_first_unneeded(db: Database) -> None:
    row = kept(db, 1)
    files.update(db, row.message, space="s1")
    assert files.unneeded(db) == []
    files.update(db, row.message, space="s9")
    files.update(db, row.message, space=None, space_key=None)
    assert (files.unneeded(db), files.spaces(db)) == (["s1", "s9"], set())


def test_a_file_moves_with_its_message(db: Database) -> None:
    row = sent(db, 1, who=ME)
    messages.move(db, row.message, BOB_CHAT, 1)
    assert [file.message for file in files.in_chat(db, BOB_CHAT, 9)] == [row.message]
    assert files.in_chat(db, ALICE_CHAT, 9) == []


def test_previews_count_as_unread(db: Database) -> None:
    sent(db, 1)
    assert chats.unread_bytes(db, ALICE_CHAT, 100) == 100 + len("c") + len(b"seen")
