"""Members in pages, by role and name, as a list shows them and as a person searches them."""

from __future__ import annotations

from p2pchat.core.ids import ChatId, ContactId, EventId, GroupId, MemberId, sender_of
from p2pchat.store import chats, contacts
from p2pchat.store.chats import ChatKind, ChatRow
from p2pchat.store.contacts import Contact, ContactState
from p2pchat.store.database import Database
from p2pchat.store.groups import epochs, events, groups, items, joins, members
from p2pchat.store.groups.groups import GroupRow
from p2pchat.store.groups.joins import JoinRow
from p2pchat.store.groups.members import NAMELESS, MemberRow

CHAT = ChatId(b"group id")
ALICE = ContactId(b"alice id")


def row_of(chat: ChatId = CHAT) -> GroupRow:
    return GroupRow(chat, GroupId(b"g" * 32), MemberId(b"m" * 8), b"s", b"l", None, "me", 0, b"\x90", b"", None, 5)


def fill(db: Database) -> None:
    """A group with a contact called Alice, who calls herself Al there, and three others."""
    identity = Contact(ALICE, "Alice", True, ContactState.CONTACT, b"i", b"d", b"b", True, 1)
    contacts.add(db, identity)
    chats.add(db, ChatRow(CHAT, ChatKind.GROUP, 5, name="hikers"))
    groups.add(db, row_of())
    people = (("zoe", 0), ("Al", 9), ("bob", 9), ("Élodie", 1))
    members.put(
        db, CHAT, [MemberRow(MemberId(name[0].encode()[:1] * 8), name, role, b"s", b"l", None) for name, role in people]
    )
    members.is_contact(db, CHAT, MemberId(b"A" * 8), ALICE)


def test_a_page_is_in_order_and_a_search_finds_both_names(db: Database) -> None:
    fill(db)
    total, page = members.page(db, CHAT, 3)
    assert (total, [member.name for member in page]) == (4, ["zoe", "Élodie", "Al"])
    assert [member.name for member in members.page(db, CHAT, 3, 3)[1]] == ["bob"]
    for search in ("al", "ALICE"):
        (found,) = members.page(db, CHAT, 10, 0, search)[1]
        assert (found.name, found.contact_name, found.verified) == ("Al", "Alice", True)
    assert members.page(db, CHAT, 10, 0, "nobody") == (0, [])


def test_who_is_gone_keeps_a_name_and_no_keys(db: Database) -> None:
    fill(db)
    bob = MemberId(b"b" * 8)
    members.leave(db, CHAT, [bob])
    assert members.get(db, CHAT, bob) is None
    assert members.count(db, CHAT) == 3
    assert db.query("SELECT sign, leaf FROM group_members WHERE gone") == [(b"", b"")]
    unknown = ContactId(b"unknown.")
    senders = [sender_of(bob), sender_of(MemberId(b"A" * 8)), unknown]
    assert members.names(db, CHAT, senders) == dict(zip(senders, ("bob", "Alice", NAMELESS), strict=True))


def test_all_of_a_group_goes_with_its_chat(db: Database) -> None:
    fill(db)
    events.add(db, CHAT, EventId(b"e" * 32), b"event", 1)
    items.see(db, CHAT, b"i" * 32, None, 1)
    items.wait(db, CHAT, b"w" * 32, b"waits", 1, items.NOBODY)
    joins.offer(db, CHAT, ALICE, 9, 1)
    joins.add(db, JoinRow(GroupId(b"other" * 6 + b"  "), ALICE, b"s", b"l", None, "other", 1))
    tables = [
        name for (name,) in db.query("SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE 'group%'")
    ]
    with db.transaction():
        chats.remove(db, CHAT)
    left = {table for table in tables if db.query(f"SELECT 1 FROM {table} LIMIT 1")}
    assert left == {"group_joins"}
    with db.transaction():
        contacts.remove(db, ALICE)
    assert not any(db.query(f"SELECT 1 FROM {table} LIMIT 1") for table in tables)
    assert epochs.of(db, CHAT) == []


def test_who_looks_like_somebody_is_found_without_reading_all_members(db: Database) -> None:
    """Asked about each message that comes."""
    for sql in (members._SHOWN_BY_ID, members._SHOWN_ALIKE):
        steps = [step for *_, step in db.query(f"EXPLAIN QUERY PLAN {sql}", (CHAT, b""))]
        (looked_up,) = [step for step in steps if "group_members" in step]
        assert "chat=? AND " in looked_up, steps


def test_what_is_asked_for_each_item_reads_no_more_of_a_large_group_than_it_needs(db: Database) -> None:
    fill(db)
    ((*_, plan), *_) = db.query(f"EXPLAIN QUERY PLAN {members._CONTACTS_IN}", (CHAT,))
    assert plan == "SEARCH group_members USING INDEX group_members_by_contact (contact>?)"
    assert members.contacts_in(db, CHAT) == [(MemberId(b"A" * 8), ALICE)]
    members.leave(db, CHAT, [MemberId(b"A" * 8)])
    assert members.contacts_in(db, CHAT) == []
    assert [members.count(db, CHAT, most) for most in (-1, 2, 3, 4)] == [3, 2, 3, 3]
