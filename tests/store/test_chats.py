"""What a list of chats shows: what is unread, however it came; drafts; all of it cheap."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pchat.core.delivery import DeliveryState
from p2pchat.core.ids import NOTES, ChatId, ContactId, MessageId, direct_chat
from p2pchat.errors import AmbiguousName, NoSuchMessage
from p2pchat.store import chats, contacts, database, messages
from p2pchat.store.chats import Unread
from p2pchat.store.contacts import Contact, ContactState
from p2pchat.store.database import Database
from p2pchat.store.messages import ME, MessageRow
from tests.store.conftest import ALICE, ALICE_CHAT, BOB, BOB_CHAT
from tests.store.test_messages import _plain, said, save
from tests.support.databases import KEY, new_database
from tests.support.examples import examples

NOW = 5_000


def known(db: Database, *ids: bytes) -> None:
    for number, id in enumerate(ids):
        contacts.add(
            db, Contact(ContactId(id), f"c{number}", False, ContactState.CONTACT, id * 4, None, None, False, number)
        )


def pk_of(db: Database, row: MessageRow) -> int:
    return next(one.pk for one in messages.with_id(db, row.id) if one.chat == row.chat)


def test_others_messages_are_unread_until_they_are_read(db: Database) -> None:
    first, second = said(1), said(2)
    save(db, said(1, sender=ME), first, second, said(1, chat=BOB_CHAT))
    assert chats.unread(db, ALICE_CHAT) == Unread(2, first.id)
    assert chats.read(db, ALICE_CHAT, pk_of(db, first), NOW) == [first.id]
    assert chats.unread(db, ALICE_CHAT) == Unread(1, second.id)
    assert chats.read(db, ALICE_CHAT, pk_of(db, first), NOW + 1) == []
    assert chats.read(db, ALICE_CHAT, None, NOW + 2) == [second.id]
    assert chats.unread(db, ALICE_CHAT) == Unread(0, None)
    assert chats.unread(db, BOB_CHAT).count == 1
    rows = messages.page(db, ALICE_CHAT, 9)
    assert [(row.sender == ME, row.read_at, row.state) for row in rows] == [
        (True, None, "saved"),
        (False, NOW, "received"),
        (False, NOW + 2, "received"),
    ]


def test_one_that_comes_late_is_unread_above_what_was_read(db: Database) -> None:
    save(db, said(1), said(3), said(4))
    chats.read(db, ALICE_CHAT, pk_of(db, said(4)), NOW)
    late = said(2)
    save(db, late)
    assert [row.seq for row in messages.page(db, ALICE_CHAT, 9)] == [1, 2, 3, 4]
    assert chats.unread(db, ALICE_CHAT) == Unread(1, late.id)
    save(db, said(5))
    assert chats.unread(db, ALICE_CHAT) == Unread(2, late.id)
    assert chats.read(db, ALICE_CHAT, pk_of(db, said(3)), NOW) == [late.id]
    assert chats.unread(db, ALICE_CHAT) == Unread(1, said(5).id)


def test_reading_up_to_one_of_ones_own(db: Database) -> None:
    save(db, said(1), said(1, sender=ME), said(2))
    mine = next(row for row in messages.page(db, ALICE_CHAT, 9) if row.sender == ME)
    assert chats.read(db, ALICE_CHAT, mine.pk, NOW) == [said(1).id]


def test_deleted_ones_do_not_count(db: Database) -> None:
    save(db, said(1), said(2))
    messages.delete(db, pk_of(db, said(1)))
    assert chats.unread(db, ALICE_CHAT) == Unread(1, said(2).id)
    messages.clear(db, ALICE_CHAT)
    assert chats.unread(db, ALICE_CHAT) == Unread()


def test_a_peer_who_says_they_read_ours_changes_nothing_of_this(db: Database) -> None:
    mine = said(1, sender=ME)
    save(db, mine, said(1))
    messages.set_state(db, ALICE_CHAT, [mine.id], DeliveryState.READ, NOW, came_from=(DeliveryState.SAVED,))
    assert chats.unread(db, ALICE_CHAT) == Unread(1, said(1).id)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("came"), st.integers(1, 12)),
        st.tuples(st.just("read"), st.integers(1, 12)),
        st.tuples(st.just("deleted"), st.integers(1, 12)),
        st.tuples(st.just("said"), st.just(0)),
    ),
    max_size=40,
)


@settings(max_examples=examples(40))
@given(STEPS)
def test_the_count_is_what_a_plain_model_says(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    """Whatever the order: unread is what came and was in no part of the chat that was read after that."""
    db = new_database(tmp_path_factory.mktemp("chats") / "profile.db")
    unread: set[int] = set()
    mine = 0
    for step, seq in steps:
        order = messages.page(db, ALICE_CHAT, 100)
        here = {row.seq: place for place, row in enumerate(order) if row.sender == ALICE}
        if step == "came":
            if save(db, said(seq)) == [True]:
                unread.add(seq)
        elif step == "said":
            mine += 1
            save(db, said(mine, sender=ME))
        elif seq in here and step == "read":
            seen = [row.seq for row in order[: here[seq] + 1] if row.sender == ALICE and row.seq in unread]
            assert chats.read(db, ALICE_CHAT, pk_of(db, said(seq)), NOW) == [said(one).id for one in seen]
            unread -= set(seen)
        elif seq in here and step == "deleted":
            messages.delete(db, pk_of(db, said(seq)))
            unread.discard(seq)
        first = said(min(unread)).id if unread else None
        assert chats.unread(db, ALICE_CHAT) == Unread(len(unread), first)
    db.close()


def test_counting_has_an_end(db: Database) -> None:
    save(db, *(said(seq) for seq in range(1, chats.MAX_COUNTED + 3)))
    assert chats.unread(db, ALICE_CHAT) == Unread(chats.MAX_COUNTED, said(1).id)
    assert len(chats.read(db, ALICE_CHAT, None, NOW)) == chats.MAX_COUNTED + 2


@pytest.mark.parametrize(
    ("sql", "values"),
    [
        (chats._COUNT, 1),
        (chats._UP_TO, 2),
        (chats._ALL, 1),
        (chats._LISTED, 0),
        (chats._WITH_UNREAD, 0),
        (messages._AFTER, 3),
    ],
)
def test_nothing_of_it_goes_through_a_whole_chat(db: Database, sql: str, values: int) -> None:
    steps = [row[3] for row in db.query(f"EXPLAIN QUERY PLAN {sql}", tuple([b""] * values))]
    assert any("messages_unread" in step or "messages_in_order" in step for step in steps)
    assert not [step for step in steps if "SCAN messages" in step or "TEMP B-TREE" in step]


def test_the_list_counts_only_where_something_is_unread(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    known(db, ALICE, BOB)
    save(db, said(1), said(1, chat=BOB_CHAT))
    chats.read(db, BOB_CHAT, None, NOW, NOW)
    asked = []
    count = chats.unread

    def noting(db: Database, chat: ChatId) -> Unread:
        asked.append(chat)
        return count(db, chat)

    monkeypatch.setattr(chats, "unread", noting)
    found = chats.listed(db)
    assert asked == [ALICE_CHAT]
    assert (found[ALICE_CHAT].unread.count, found[BOB_CHAT].unread.count) == (1, 0)


def test_the_list(db: Database) -> None:
    known(db, ALICE, BOB)
    save(db, said(1), said(1, sender=ME), said(3), said(2))
    chats.keep_draft(db, BOB_CHAT, "begun")
    found = chats.listed(db)
    assert set(found) == {ALICE_CHAT, BOB_CHAT, NOTES}
    alice, bob = found[ALICE_CHAT], found[BOB_CHAT]
    assert (alice.unread, alice.chat.draft) == (Unread(3, said(1).id), "")
    assert alice.last == messages.page(db, ALICE_CHAT, 1)[0]
    assert (bob.unread, bob.chat.draft, bob.last) == (Unread(), "begun", None)
    assert {chat: chats.listed_one(db, chat) for chat in chats.in_order(db)} == found


# --- drafts ----------------------------------------------------------------------------------------


def test_drafts(db: Database) -> None:
    known(db, ALICE)
    assert chats.keep_draft(db, ALICE_CHAT, "one") is False
    assert chats.keep_draft(db, ALICE_CHAT, "two") is True
    assert chats.listed(db)[ALICE_CHAT].chat.draft == "two"
    assert chats.keep_draft(db, ALICE_CHAT, "") is True
    assert chats.keep_draft(db, ALICE_CHAT, "") is False
    assert chats.listed(db)[ALICE_CHAT].chat.draft == ""


def test_a_draft_goes_with_its_contact(db: Database) -> None:
    known(db, ALICE)
    chats.keep_draft(db, ALICE_CHAT, "begun")
    contacts.remove(db, ALICE)
    assert set(chats.listed(db)) == {NOTES}


def test_nothing_of_a_forgotten_draft_is_left(db: Database) -> None:
    known(db, ALICE)
    chats.keep_draft(db, ALICE_CHAT, "qzvmarkertest " * 1000)  # on several pages
    db.checkpoint()
    assert b"qzvmarkertest" in _plain(db.path)
    chats.keep_draft(db, ALICE_CHAT, "ykwothertest")
    db.checkpoint()
    assert b"qzvmarkertest" not in _plain(db.path)
    assert b"ykwothertest" in _plain(db.path)
    chats.keep_draft(db, ALICE_CHAT, "")
    db.checkpoint()
    assert b"ykwothertest" not in _plain(db.path)
    assert db.path.with_name(db.path.name + "-wal").read_bytes() == b""


# --- pages -----------------------------------------------------------------------------------------


def seqs(rows: list[MessageRow]) -> list[int]:
    return [row.seq for row in rows]


def test_pages_after_and_around(db: Database) -> None:
    save(db, *(said(seq) for seq in (1, 2, 3, 4, 7, 6, 5)), said(1, chat=BOB_CHAT))
    assert seqs(messages.page_after(db, ALICE_CHAT, 3, pk_of(db, said(4)))) == [5, 6, 7]
    assert seqs(messages.page_after(db, ALICE_CHAT, 2, pk_of(db, said(4)))) == [5, 6]
    assert messages.page_after(db, ALICE_CHAT, 3, pk_of(db, said(7))) == []

    def around(seq: int, limit: int) -> list[int]:
        return seqs(messages.page_around(db, ALICE_CHAT, limit, messages.find_in(db, ALICE_CHAT, said(seq).id.hex())))

    assert around(4, 3) == [3, 4, 5]
    assert around(4, 4) == [2, 3, 4, 5]
    assert around(1, 3) == [1, 2, 3]
    assert around(7, 4) == [4, 5, 6, 7]
    assert around(6, 5) == [3, 4, 5, 6, 7]
    assert around(3, 1) == [3]
    assert around(3, 100) == [1, 2, 3, 4, 5, 6, 7]


def test_an_id_in_one_chat(db: Database) -> None:
    shared = b"\x01" * 16
    save(
        db,
        said(1, id=shared),
        said(1, chat=BOB_CHAT, id=shared),
        said(1, sender=ME, id=shared),
        said(2, id=b"\x01" + bytes(15)),
    )
    for sender in (ALICE, BOB):
        found = messages.find_in(db, direct_chat(sender), shared.hex())
        assert (found.chat, found.sender) == (direct_chat(sender), sender)
    with pytest.raises(AmbiguousName) as caught:
        messages.find_in(db, ALICE_CHAT, "01")
    assert len(caught.value.candidates) == 2
    for wrong in ("", "zz", "02", "01" * 17):
        with pytest.raises(NoSuchMessage):
            messages.find_in(db, ALICE_CHAT, wrong)


# --- an older database -------------------------------------------------------------------------------


def test_what_an_older_database_holds_counts_as_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scripts = database.migrations()
    with monkeypatch.context() as older:
        older.setattr(database, "migrations", lambda: scripts[:1])
        before = Database.create(path, KEY)
        before.execute(
            "INSERT INTO contacts (id, name, named_by_me, state, verified, created_at, read_receipts, profile_name)"
            " VALUES (?, 'a', 0, 'contact', 0, 1, 1, '')",
            (ALICE,),
        )
        save(
            before,
            said(1),
            MessageRow(MessageId(b"i" * 16), ALICE_CHAT, ALICE, 0, 2, "b", 1_000, DeliveryState.RECEIVED, 2_000),
            said(1, sender=ME),
        )
        before.close()
    db = Database.open(path, KEY)
    assert chats.unread(db, ALICE_CHAT) == Unread()
    assert [row.read_at for row in messages.page(db, ALICE_CHAT, 9)] == [1_001, 2_000, None]
    save(db, said(3))
    assert chats.unread(db, ALICE_CHAT) == Unread(1, said(3).id)
    db.close()
