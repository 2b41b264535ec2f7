"""What was said: its order, its index, its states, and that deleting deletes."""

from __future__ import annotations

import random
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pchat.core.delivery import DeliveryState, Route
from p2pchat.core.ids import ChatId, ContactId, MessageId, direct_chat
from p2pchat.errors import AmbiguousName, NoSuchMessage
from p2pchat.store import envelopes, messages, search_backlog
from p2pchat.store.database import Database
from p2pchat.store.messages import ME, MessageRow
from p2pchat.store.search import search
from p2pchat.store.search_query import Query, Term
from tests.store.conftest import ALICE, ALICE_CHAT, BOB, BOB_CHAT
from tests.support.databases import KEY, new_database
from tests.support.examples import examples


def said(
    seq: int, text: str = "hello", *, chat: ChatId = ALICE_CHAT, sender: bytes | None = None, id: bytes = b""
) -> MessageRow:
    who = chat if sender is None else sender
    return MessageRow(
        id=MessageId(id or bytes([len(who)]) + chat[:1] + seq.to_bytes(14, "big")),
        chat=chat,
        sender=ContactId(who),
        kind=0,
        seq=seq,
        text=text,
        sent_at=1_000 + seq,
        state=DeliveryState.SAVED if who == ME else DeliveryState.RECEIVED,
    )


def save(db: Database, *rows: MessageRow) -> list[bool]:
    with db.transaction():
        return [messages.insert(db, row) is not None for row in rows]


def seqs(rows: list[MessageRow]) -> list[int]:
    return [row.seq for row in rows]


ARRIVALS = st.lists(
    st.tuples(st.sampled_from([ALICE, BOB]), st.integers(0, 6), st.integers(0, 6), st.sampled_from(["", "answer"])),
    max_size=12,
)


@settings(max_examples=examples(60), deadline=None)
@given(before=ARRIVALS, erased=st.sets(st.integers(0, 12)), came=ARRIVALS)
def test_messages_that_are_saved_together_are_saved_as_one_by_one(
    before: list[Any], erased: set[int], came: list[Any]
) -> None:
    """With the same places and marks, whatever numbers and ids their senders use again, and whatever was erased."""

    def row(sender: ContactId, seq: int, id: int, answers: str) -> MessageRow:
        made = said(seq, chat=ALICE_CHAT, sender=sender, id=id.to_bytes(16, "big"))
        return made._replace(reply_to=MessageId(bytes(16)), quote=answers) if answers else made

    results = []
    for together in (False, True):
        with TemporaryDirectory() as folder:
            db = new_database(Path(folder) / "p2pchat.db")
            save(db, *(row(*values) for values in before))
            with db.transaction():
                for pk in sorted(erased):
                    messages.delete(db, pk)
            rows = [row(*values) for values in came]
            with db.transaction():
                if together:
                    saved = messages.insert_all(db, ALICE_CHAT, rows)
                else:
                    saved = [messages.insert(db, each) for each in rows]
            order = [(each.id, each.sender, each.seq, each.late) for each in messages.page(db, ALICE_CHAT, 100)]
            results.append(([each and each.late for each in saved], order, {each.pk for each in saved if each}))
            kept = {pk for (pk,) in db.query("SELECT pk FROM messages")}
            assert results[-1][2] <= kept
            db.close()
    assert results[0][:2] == results[1][:2]


# --- order ---------------------------------------------------------------------------------------


def test_a_row_comes_back_as_it_was(db: Database) -> None:
    row = MessageRow(
        MessageId(b"i" * 16),
        ALICE_CHAT,
        ALICE,
        3,
        7,
        "text",
        1,
        DeliveryState.RECEIVED,
        2,
        Route.DIRECT,
        3,
        4,
        5,
    )
    assert save(db, row) == [True]
    (found,) = messages.with_id(db, MessageId(b"i" * 16))
    assert found == MessageRow(
        MessageId(b"i" * 16),
        ALICE_CHAT,
        ALICE,
        3,
        7,
        "text",
        1,
        DeliveryState.RECEIVED,
        2,
        Route.DIRECT,
        3,
        4,
        5,
        1,
        1,
    )


def test_the_same_message_is_saved_once(db: Database) -> None:
    assert save(db, said(1), said(1), said(1, chat=BOB_CHAT), said(1, sender=ME)) == [True, False, True, True]
    assert len(messages.page(db, ALICE_CHAT, 10)) == 2


def test_what_came_after_our_answer_is_marked_as_late(db: Database) -> None:
    save(db, said(1), said(4), said(3), said(1, sender=ME))
    inserted = [messages.insert(db, said(seq)) for seq in (2, 5)]
    assert [row and row.late for row in inserted] == [True, False]
    late = {(row.sender, row.seq) for row in messages.page(db, ALICE_CHAT, 10) if row.late}
    assert late == {(ALICE, 2)}  # 3 came out of order as well, but before we had answered


def test_a_message_in_its_order_is_one_statement(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    statements = []
    for name in ("execute", "insert", "query", "query_one"):
        run = getattr(Database, name)

        def counting(db: Database, sql: str, values: Any = (), run: Any = run) -> Any:
            statements.append(sql)
            return run(db, sql, values)

        monkeypatch.setattr(Database, name, counting)
    assert messages.insert(db, said(1))
    assert len(statements) == 1  # its words are indexed later


def test_late_messages_stand_where_they_belong(db: Database) -> None:
    save(db, said(1), said(4), said(1, sender=ME), said(2), said(5), said(3))
    assert [(row.sender, row.seq) for row in messages.page(db, ALICE_CHAT, 10)] == [
        (ALICE, 1),
        (ALICE, 2),
        (ALICE, 3),
        (ALICE, 4),
        (ME, 1),
        (ALICE, 5),
    ]


def test_numberless_messages_are_never_late(db: Database) -> None:
    save(db, said(1), said(2), said(0))
    assert seqs(messages.page(db, ALICE_CHAT, 10)) == [1, 2, 0]


@settings(max_examples=examples(25))
@given(st.permutations(range(1, 9)))
def test_one_senders_messages_stand_in_their_order_however_they_came(
    tmp_path_factory: pytest.TempPathFactory, order: list[int]
) -> None:
    db = new_database(tmp_path_factory.mktemp("order") / "profile.db")
    save(
        db,
        *(row for at, seq in enumerate(order, 1) for row in (said(seq), said(at, sender=ME), said(seq, chat=BOB_CHAT))),
    )
    rows = messages.page(db, ALICE_CHAT, 100)
    assert seqs([row for row in rows if row.sender == ALICE]) == sorted(order)
    assert seqs([row for row in rows if row.sender == ME]) == list(range(1, 9))
    db.close()


def test_a_late_message_uses_the_index(db: Database) -> None:
    """The place of an insert must not cost more as a chat grows."""
    plan = db.query(f"EXPLAIN QUERY PLAN {messages._INSERT}", tuple([b""] * 14))
    steps = [row[3] for row in plan]
    assert any("messages_by_seq" in step for step in steps)
    assert not [step for step in steps if "SCAN messages" in step]


def test_pages(db: Database) -> None:
    save(db, *(said(seq) for seq in (1, 2, 3, 4, 7, 6, 5)), said(1, chat=BOB_CHAT))
    newest = messages.page(db, ALICE_CHAT, 3)
    assert seqs(newest) == [5, 6, 7]
    older = messages.page(db, ALICE_CHAT, 3, newest[0].pk)
    assert seqs(older) == [2, 3, 4]
    assert seqs(messages.page(db, ALICE_CHAT, 3, older[0].pk)) == [1]
    assert messages.page(db, ALICE_CHAT, 3, messages.page(db, ALICE_CHAT, 9)[0].pk) == []


def test_since_gives_everything_once_in_the_order_it_was_saved(db: Database) -> None:
    save(db, said(1), said(3), said(1, chat=BOB_CHAT), said(2))
    rows = messages.since(db, None, 0)
    assert [(row.chat, row.seq) for row in rows] == [(ALICE_CHAT, 1), (ALICE_CHAT, 3), (BOB_CHAT, 1), (ALICE_CHAT, 2)]
    assert messages.since(db, None, rows[1].pk) == rows[2:]
    assert seqs(messages.since(db, ALICE_CHAT, 0)) == [1, 3, 2]
    assert seqs(messages.since(db, ALICE_CHAT, rows[0].pk, 1)) == [3]
    assert messages.since(db, None, rows[-1].pk) == []
    assert messages.newest(db, None, 2) == rows[2:]
    assert seqs(messages.newest(db, ALICE_CHAT, 2)) == [3, 2]


def test_no_pk_is_given_twice(db: Database) -> None:
    """A reader that saw the last message must see the next, also if the last was deleted between."""
    save(db, said(1), said(2))
    last = messages.since(db, None, 0)[-1].pk
    messages.delete(db, last)
    save(db, said(3))
    assert seqs(messages.since(db, None, last)) == [3]


# --- our numbers, their gaps ---------------------------------------------------------------------


def test_next_seq_counts_our_own_in_each_chat(db: Database) -> None:
    assert messages.next_seq(db, ALICE_CHAT) == 1
    save(db, said(1, sender=ME), said(2, sender=ME), said(9), said(5, sender=ME, chat=BOB_CHAT))
    assert (messages.next_seq(db, ALICE_CHAT), messages.next_seq(db, BOB_CHAT)) == (3, 6)


def test_a_deleted_number_does_not_come_back(db: Database) -> None:
    save(db, said(1, sender=ME), said(2, sender=ME))
    messages.delete(db, messages.page(db, ALICE_CHAT, 1)[0].pk)
    assert messages.next_seq(db, ALICE_CHAT) == 3


# --- finding -------------------------------------------------------------------------------------


def test_find_by_the_beginning_of_an_id(db: Database) -> None:
    ids = [bytes.fromhex("018f" + "00" * 14), bytes.fromhex("018f" + "ff" * 14), bytes.fromhex("02" * 16)]
    save(db, *(said(seq, id=id) for seq, id in enumerate(ids, 1)))
    assert messages.find(db, "02").seq == 3
    assert messages.find(db, "018f0").seq == 1
    assert messages.find(db, " 018FF ").seq == 2
    assert messages.find(db, ids[0].hex()).seq == 1
    with pytest.raises(AmbiguousName) as ambiguous:
        messages.find(db, "0")
    assert ambiguous.value.candidates == tuple(id.hex() for id in ids)


@pytest.mark.parametrize("text", ["", "  ", "ff", "xyz", "%", "0" * 33, "é", "01 8f"])
def test_find_nothing(db: Database, text: str) -> None:
    save(db, said(1, id=bytes.fromhex("018f" * 8)))
    with pytest.raises(NoSuchMessage):
        messages.find(db, text)


def test_a_repeated_id_means_the_first(db: Database) -> None:
    id = bytes(16)
    save(db, said(1, "mine", sender=ME, id=id), said(1, "theirs", id=id), said(1, "others", chat=BOB_CHAT, id=id))
    assert messages.find(db, id.hex()).text == "mine"
    assert len(messages.with_id(db, MessageId(id))) == 3


def found(db: Database, word: str) -> list[int]:
    return seqs(search(db, Query((Term(word),)), None, None, 10))


# --- states --------------------------------------------------------------------------------------


def test_mine_are_ours_in_that_chat(db: Database) -> None:
    ours, theirs, elsewhere = said(1, sender=ME), said(2), said(3, sender=ME, chat=BOB_CHAT)
    save(db, ours, theirs, elsewhere)
    rows = messages.mine(db, ALICE_CHAT, [ours.id, theirs.id, elsewhere.id, MessageId(bytes(16))])
    assert [row.id for row in rows] == [ours.id]


def test_set_state_moves_only_what_may_move(db: Database) -> None:
    one, two, theirs, elsewhere = (
        said(1, sender=ME),
        said(2, sender=ME),
        said(3),
        said(4, sender=ME, chat=BOB_CHAT),
    )
    save(db, one, two, theirs, elsewhere)
    every = [one.id, two.id, theirs.id, elsewhere.id, MessageId(bytes(16))]
    moved = messages.set_state(
        db, ALICE_CHAT, every, DeliveryState.STORED, 50, came_from=[DeliveryState.SAVED], route=Route.DIRECT
    )
    assert moved == [one.id, two.id]
    assert messages.set_state(db, ALICE_CHAT, every, DeliveryState.STORED, 60, came_from=[DeliveryState.SAVED]) == []
    assert messages.set_state(
        db,
        ALICE_CHAT,
        [one.id],
        DeliveryState.DELIVERED,
        70,
        came_from=[DeliveryState.SAVED, DeliveryState.STORED],
    ) == [one.id]
    assert messages.set_state(
        db,
        ALICE_CHAT,
        [two.id],
        DeliveryState.FAILED,
        80,
        came_from=[DeliveryState.SAVED, DeliveryState.STORED],
    ) == [two.id]
    assert (
        messages.set_state(db, ALICE_CHAT, [theirs.id], DeliveryState.READ, 90, came_from=[DeliveryState.RECEIVED])
        == []
    )
    (first, second) = messages.mine(db, ALICE_CHAT, [one.id, two.id])
    assert (first.state, first.route, first.stored_at, first.delivered_at) == ("delivered", "direct", 50, 70)
    assert (second.state, second.stored_at, second.delivered_at, second.read_at) == ("failed", 50, None, None)
    assert messages.with_id(db, theirs.id)[0].state == "received"
    assert messages.with_id(db, elsewhere.id)[0].state == "saved"


def test_the_first_time_stays(db: Database) -> None:
    save(db, said(1, sender=ME))
    for at in (10, 20):
        messages.set_state(
            db,
            ALICE_CHAT,
            [said(1, sender=ME).id],
            DeliveryState.READ,
            at,
            came_from=[DeliveryState.SAVED, DeliveryState.READ],
        )
    assert messages.page(db, ALICE_CHAT, 1)[0].read_at == 10


# --- deleting ------------------------------------------------------------------------------------


def test_a_deleted_message_is_gone_and_stays_away(db: Database) -> None:
    save(db, said(1, "alpha"), said(2, "beta"))
    pk = messages.with_id(db, said(1).id)[0].pk
    assert messages.delete(db, pk)
    assert not messages.delete(db, pk)
    assert found(db, "alpha") == []
    assert save(db, said(1, "alpha")) == [False]  # the same, sealed anew by its sender
    assert seqs(messages.page(db, ALICE_CHAT, 9)) == [2]
    assert save(db, said(1, "another", id=b"n" * 16)) == [True]  # another with that number is not the same


@pytest.mark.parametrize("whole", [False, True])
def test_a_chat_is_emptied(db: Database, whole: bool) -> None:
    save(db, said(1, "alpha"), said(2, "alpha"), said(1, "alpha", chat=BOB_CHAT))
    messages.delete(db, messages.with_id(db, said(1).id)[0].pk)
    with db.transaction():
        (messages.forget_chat if whole else messages.clear)(db, ALICE_CHAT)
    assert messages.page(db, ALICE_CHAT, 9) == []
    assert [row.chat for row in search(db, Query((Term("alpha"),)), None, None, 9)] == [BOB_CHAT]
    assert save(db, said(1, "alpha"), said(2, "alpha")) == [whole, whole]  # what may come again stays away


def _plain(path: Path) -> bytes:
    """Every page of a database without its encryption, also what no table points to.

    SQLCipher's page: AES-256-CBC || IV (16) || HMAC (32 with SHA-256); the first begins with 16 bytes of salt.
    """
    data, pages = path.read_bytes(), []
    for start in range(0, len(data), 4096):
        page = data[start + (0 if start else 16) : start + 4096]
        cipher = Cipher(algorithms.AES256(KEY), modes.CBC(page[-48:-32])).decryptor()
        pages.append(cipher.update(page[:-48]) + cipher.finalize())
    return b"".join(pages)


def test_nothing_of_a_deleted_message_is_left(db: Database) -> None:
    """Neither in the files nor in their decrypted pages: row, free pages, indexes, the words of the search index."""
    marker, other = "qzvmarkertest", "ykwothertest"
    chance = random.Random(1)
    words = ["".join(chance.choices("abcdefghijklmnop", k=7)) for _ in range(400)]

    def text(seq: int) -> str:
        extra = f"{marker} {marker}{seq}" if seq % 10 == 0 else other if seq % 7 == 0 else ""
        return " ".join(chance.choices(words, k=8)) + f" {extra} " + ("x" * 6000 if seq % 50 == 0 else "")

    for start in range(0, 1000, 50):
        save(db, *(said(seq, text(seq)) for seq in range(start + 1, start + 51)))
    db.checkpoint()
    assert marker.encode() in _plain(db.path)
    doomed = search(db, Query((Term(marker),)), None, None, 1000)
    assert len(doomed) == 100
    with db.transaction():
        for row in doomed:
            messages.delete(db, row.pk)
    db.checkpoint()
    pages = _plain(db.path)
    assert pages.count(marker.encode()) == 0
    assert pages.count(b"markertest") == 0  # words of the index share their beginnings
    assert b"othertest" in pages
    assert not any(bytes(row.id) in pages for row in doomed)
    assert db.path.with_name(db.path.name + "-wal").read_bytes() == b""
    assert search(db, Query((Term(marker),)), None, None, 9) == []
    assert len(search(db, Query((Term(other),)), None, None, 1000)) > 50
    db.execute("INSERT INTO messages_fts (messages_fts) VALUES ('integrity-check')")


@pytest.mark.parametrize("most", [10, 1000])
def test_nothing_of_an_emptied_chat_is_left(db: Database, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """Whether its words are taken out of the search index or that is made anew."""
    monkeypatch.setattr(search_backlog, "MAX_TAKEN_OUT", most)
    save(db, *(said(seq, f"qzvmarkertest{seq} " + "x" * 2000) for seq in range(1, 100)))
    save(db, said(1, "ykwothertest", chat=BOB_CHAT))
    search_backlog.before_search(db)
    db.checkpoint()
    assert b"markertest" in _plain(db.path)
    with db.transaction():
        messages.clear(db, ALICE_CHAT)
    db.checkpoint()
    assert b"markertest" not in _plain(db.path)
    assert len(found(db, "ykwothertest")) == 1


def test_the_newest_of_a_chat_are_found_without_reading_the_chat(db: Database) -> None:
    """A late message has the place of another one, and is found by when it was saved all the same."""
    numbers = [1, 2, 3, 5, 6, 4, 7]  # 4 came late
    with db.transaction():
        for number in numbers:
            for chat in (ALICE, BOB):
                id = number.to_bytes(16, "big")
                messages.insert(
                    db,
                    MessageRow(
                        MessageId(id),
                        direct_chat(chat),
                        chat,
                        0,
                        number,
                        f"text {number}",
                        number,
                        DeliveryState.RECEIVED,
                    ),
                )
    saved = [row.seq for row in messages.since(db, ALICE_CHAT, 0)]
    assert saved == numbers
    assert [row.seq for row in messages.newest(db, ALICE_CHAT, 3)] == [6, 4, 7]
    assert [row.seq for row in messages.since(db, ALICE_CHAT, messages.newest(db, ALICE_CHAT, 3)[0].pk)] == [4, 7]
    assert [row.seq for row in messages.since(db, ALICE_CHAT, 0, 2)] == [1, 2]
    for order in ("ASC", "DESC"):
        plan = db.query("EXPLAIN QUERY PLAN " + messages._SAVED_IN_CHAT.format(order=order), (ALICE, 0, 3))
        steps = [step for *_, step in plan]
        assert [step for step in steps if step.startswith("SCAN messages")] == []
        assert sum("messages_in_order (chat=? AND place>?)" in step for step in steps) == 1
        assert sum("messages_late (chat=? AND pk>?)" in step for step in steps) == 1


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        (envelopes._FORGET, "PRIMARY KEY (id>? AND id<?)"),
        ("DELETE FROM handshakes WHERE forget_at <= 5", "handshakes_by_time"),
        ("DELETE FROM skipped_keys WHERE at < 5", "skipped_by_time"),
        ("DELETE FROM sessions WHERE receive_until <= 5", "sessions_ending"),
    ],
)
def test_forgetting_reads_no_whole_table(db: Database, statement: str, index: str) -> None:
    steps = [step for *_, step in db.query("EXPLAIN QUERY PLAN " + statement, (b"", b"", 5)[: statement.count("?")])]
    assert any(index in step for step in steps), steps
