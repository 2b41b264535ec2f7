"""Who has read what in groups: ranges that grow, and what members have not been told of."""

from __future__ import annotations

from p2pchat.core.delivery import DeliveryState
from p2pchat.core.ids import ChatId, ContactId, GroupId, MemberId, MessageId, sender_of
from p2pchat.store import chats, messages
from p2pchat.store.chats import ChatKind, ChatRow
from p2pchat.store.database import Database
from p2pchat.store.groups import groups, receipts
from p2pchat.store.groups.groups import GroupRow
from p2pchat.store.groups.receipts import ReadRange
from p2pchat.store.messages import ME, MessageRow

CHAT, OTHER = ChatId(b"the chat"), ChatId(b"another.")
ALICE, BOB = MemberId(b"alice, 8"), MemberId(b"bob, 8  ")


def founded(db: Database, *them: ChatId) -> None:
    for chat in them:
        chats.add(db, ChatRow(chat, ChatKind.GROUP, 0, name="town"))
        group = GroupId(chat * 4)
        groups.add(db, GroupRow(chat, group, ALICE, bytes(32), bytes(32), None, "me", 0, b"\x90", b"", None, 0))


def wrote(db: Database, sender: ContactId, seq: int, chat: ChatId = CHAT) -> MessageId:
    id = MessageId(sender.ljust(8, b".") + seq.to_bytes(8, "big"))
    messages.insert(db, MessageRow(id, chat, sender, 1, seq, f"{seq}", seq, DeliveryState.RECEIVED))
    return id


def test_what_was_read_is_one_range_for_each_author(db: Database) -> None:
    founded(db, CHAT, OTHER)
    alice, bob = sender_of(ALICE), sender_of(BOB)
    seven, eight, nine = (wrote(db, bob, number) for number in (7, 8, 9))
    uncounted, hers, mine = wrote(db, bob, 0), wrote(db, alice, 3), wrote(db, ME, 4)
    elsewhere = wrote(db, bob, 5, OTHER)
    assert (receipts.untold(db, CHAT), receipts.chats_untold(db)) == ([], [])
    receipts.note(db, CHAT, [eight, hers, mine, uncounted, elsewhere])
    assert receipts.untold(db, CHAT) == [(ALICE, ReadRange(3, 3)), (BOB, ReadRange(8, 8))]
    assert receipts.untold(db, OTHER) == []
    assert receipts.chats_untold(db) == [CHAT]
    receipts.told(db, CHAT)
    assert (receipts.untold(db, CHAT), receipts.chats_untold(db)) == ([], [])
    receipts.note(db, CHAT, [nine])
    assert receipts.untold(db, CHAT) == [(BOB, ReadRange(8, 9))]
    receipts.note(db, CHAT, [seven])
    assert receipts.untold(db, CHAT) == [(BOB, ReadRange(7, 9))]
    receipts.note(db, OTHER, [elsewhere])
    receipts.told(db, OTHER)
    receipts.forget(db, OTHER)
    assert receipts.untold(db, CHAT) == [(BOB, ReadRange(7, 9))], "of the other group alone"
    receipts.forget(db, CHAT)
    receipts.note(db, CHAT, [nine])
    assert receipts.untold(db, CHAT) == [(BOB, ReadRange(9, 9))]


def test_what_a_member_says_to_have_read_replaces_what_they_said_before(db: Database) -> None:
    founded(db, CHAT, OTHER)
    for range in (ReadRange(2, 3), ReadRange(4, 6)):
        receipts.put_seen(db, CHAT, BOB, range)
    assert receipts.seen(db, CHAT, BOB) == ReadRange(4, 6)
    assert receipts.seen(db, CHAT, ALICE) is None
    assert receipts.seen(db, OTHER, BOB) is None


def test_the_newest_of_our_messages_in_a_range_come_first(db: Database) -> None:
    founded(db, CHAT, OTHER)
    wrote(db, sender_of(BOB), 3)
    wrote(db, ME, 3, OTHER)
    for number in range(1, 6):
        wrote(db, ME, number)

    def newly(first: int, last: int, limit: int = 9) -> list[int]:
        found = [messages.by_pk(db, pk) for pk in receipts.newly(db, CHAT, ReadRange(first, last), limit)]
        assert all(one is not None and one.chat == CHAT and one.mine for one in found)
        return [one.seq for one in found if one is not None]

    assert newly(2, 4) == [4, 3, 2]
    assert newly(1, 99, 2) == [5, 4]
    assert newly(6, 9) == []
