"""A chat of three, with a contact who has two devices: rows like any other, by the queries of a chat of two."""

from __future__ import annotations

import pytest

from p2pchat.core.delivery import DeliveryState, Route
from p2pchat.core.ids import ChatId, ContactId, DeviceId, MessageId
from p2pchat.store import chats, contacts, deliveries, devices, messages
from p2pchat.store.chats import ChatKind, ChatRow, Unread
from p2pchat.store.database import Database
from p2pchat.store.deliveries import DeliveryRow
from p2pchat.store.devices import DeviceRow
from p2pchat.store.messages import ME
from p2pchat.store.search import search
from p2pchat.store.search_query import Query, Term
from tests.store.conftest import ALICE, ALICE_CHAT, ALICE_DEVICE, BOB, BOB_DEVICE
from tests.store.test_contacts import person
from tests.store.test_messages import said, save, seqs

GROUP, CAROL, PHONE = ChatId(b"a group."), ContactId(b"carol..3"), DeviceId(b"a phone.")
EVERYWHERE = (ALICE_DEVICE, PHONE, BOB_DEVICE)
SAVED, STORED, DELIVERED, READ, FAILED = (
    DeliveryState.SAVED,
    DeliveryState.STORED,
    DeliveryState.DELIVERED,
    DeliveryState.READ,
    DeliveryState.FAILED,
)


@pytest.fixture(autouse=True)
def people(db: Database) -> None:
    for number, id in enumerate((ALICE, BOB, CAROL)):
        contacts.add(db, person(id, f"c{number}"))
    devices.add(db, DeviceRow(PHONE, ALICE, None, None, 20))
    chats.add(db, ChatRow(GROUP, ChatKind.GROUP, 50), [ALICE, BOB, CAROL])


def test_who_is_in_it(db: Database) -> None:
    assert chats.get(db, GROUP) == ChatRow(GROUP, ChatKind.GROUP, 50)
    chats.add_members(db, GROUP, [BOB], 99)  # once is enough
    assert chats.members(db, GROUP) == [ALICE, BOB, CAROL]
    assert chats.shared_with(db, ALICE) == [ALICE_CHAT, GROUP]
    chats.remove_member(db, GROUP, CAROL)
    contacts.remove(db, BOB)  # whose own chat goes, and not the one of all
    assert chats.members(db, GROUP) == [ALICE]
    assert chats.get(db, GROUP) is not None
    chats.remove(db, GROUP)
    assert (chats.get(db, GROUP), chats.shared_with(db, ALICE)) == (None, [ALICE_CHAT])


def test_what_is_set_for_it(db: Database) -> None:
    chats.update(db, GROUP, muted_until=9, archived=True, pinned=2, timer_seconds=60, timer_by=ME, timer_at=3)
    chats.keep_draft(db, GROUP, "begun", 99)
    expected = ChatRow(GROUP, ChatKind.GROUP, 50, "begun", 99, 9, True, 2, 60, ME, 3)
    assert chats.get(db, GROUP) == chats.listed(db)[GROUP].chat == expected
    with pytest.raises(ValueError, match="cannot set"):
        chats.update(db, GROUP, kind="direct")


def test_it_is_listed_read_paged_and_searched(db: Database) -> None:
    first = said(1, "the first of alice", chat=GROUP, sender=ALICE)
    rows = [
        first,
        said(1, "of bob", chat=GROUP, sender=BOB, id=b"b" * 16),
        said(1, "ours", chat=GROUP, sender=ME),
        said(3, "the third of alice", chat=GROUP, sender=ALICE),
        said(2, "the second of alice", chat=GROUP, sender=ALICE),
        said(1, "elsewhere", chat=ALICE_CHAT),
    ]
    assert save(db, *rows) == [True] * 6
    page = messages.page(db, GROUP, 9)
    # each sender's in the order of that sender
    assert [(row.sender, row.seq) for row in page] == [(ALICE, 1), (BOB, 1), (ME, 1), (ALICE, 2), (ALICE, 3)]
    assert [row.mine for row in page] == [False, False, True, False, False]
    listed = chats.listed(db)[GROUP]
    assert (listed.unread, listed.last) == (Unread(4, first.id), page[-1])
    assert seqs(messages.page(db, GROUP, 2, page[-1].pk)) == [1, 2]
    assert seqs(messages.page_after(db, GROUP, 2, page[0].pk)) == [1, 1]
    assert messages.page_around(db, GROUP, 3, page[2]) == page[1:4]
    assert messages.find_in(db, GROUP, first.id.hex()) == page[0]
    assert [row.text for row in search(db, Query((Term("alice"),)), GROUP, None, 9)] == [
        rows[0].text,
        rows[3].text,
        rows[4].text,
    ]
    assert [row.text for row in messages.since(db, GROUP, 0)] == [row.text for row in rows[:5]]
    assert messages.next_seq(db, GROUP) == 2
    assert chats.read(db, GROUP, page[1].pk, 7) == [page[0].id, page[1].id]
    assert chats.unread(db, GROUP).count == 2
    assert chats.unread(db, ALICE_CHAT).count == 1


def test_a_message_has_come_as_far_as_it_has_everywhere(db: Database) -> None:
    ours = said(1, chat=GROUP, sender=ME)
    save(db, ours)
    deliveries.begin(db, GROUP, ours.id, EVERYWHERE)

    def move(device: DeviceId, state: DeliveryState, at: int, route: Route | None = None) -> list[MessageId]:
        others = [other for other in DeliveryState if other != state]
        return deliveries.set_state(db, GROUP, device, [ours.id], state, at, came_from=others, route=route)

    def whole() -> DeliveryState:
        return messages.with_id(db, ours.id)[0].state

    assert move(ALICE_DEVICE, DELIVERED, 5, Route.DIRECT) == []
    assert (move(PHONE, STORED, 6, Route.MAILBOX), whole()) == ([], SAVED)
    assert (move(BOB_DEVICE, STORED, 7), whole()) == ([ours.id], STORED)
    assert move(BOB_DEVICE, STORED, 8) == []  # twice is once
    (row,) = messages.with_id(db, ours.id)
    assert deliveries.of(db, row.pk) == [
        DeliveryRow(PHONE, STORED, Route.MAILBOX, stored_at=6),
        DeliveryRow(ALICE_DEVICE, DELIVERED, Route.DIRECT, delivered_at=5),
        DeliveryRow(BOB_DEVICE, STORED, stored_at=7),
    ]
    assert row.stored_at == 7
    move(PHONE, FAILED, 9)
    assert (move(BOB_DEVICE, READ, 10), whole()) == ([ours.id], DELIVERED)  # one that it failed for does not hold it
    for device in EVERYWHERE:
        move(device, FAILED, 11)
    assert whole() == FAILED
    messages.delete(db, row.pk)
    assert db.query("SELECT * FROM deliveries") == []


def test_a_chat_of_two_needs_none(db: Database) -> None:
    ours = said(1, sender=ME)
    save(db, ours)
    assert deliveries.set_state(db, ALICE_CHAT, ALICE_DEVICE, [ours.id], STORED, 5, came_from=[SAVED]) == []
    assert messages.set_state(db, ALICE_CHAT, [ours.id], STORED, 5, came_from=[SAVED]) == [ours.id]
    assert deliveries.of(db, messages.with_id(db, ours.id)[0].pk) == []
