"""Messages that have not arrived: when somebody is asked for them."""

from __future__ import annotations

from pathlib import Path

from p2pchat.core.delivery import DeliveryState
from p2pchat.core.groups.epochs import derive
from p2pchat.core.ids import ChatId, EpochId, GroupId, MemberId, MessageId, sender_of
from p2pchat.lib.times import DAY_MS, HOUR_MS, MINUTE_MS
from p2pchat.store import chats
from p2pchat.store import messages as store_messages
from p2pchat.store.chats import ChatKind, ChatRow
from p2pchat.store.database import Database
from p2pchat.store.groups import epochs, gaps, groups
from p2pchat.store.groups.groups import GroupRow
from p2pchat.store.messages import MessageRow
from tests.support.databases import new_database

CHAT = ChatId(b"the chat")
ALICE, BOB, CAROL = MemberId(b"alice, 8"), MemberId(b"bob, 8  "), MemberId(b"carol, 8")
NOW = 1_700_000_000_000


def opened(path: Path) -> tuple[Database, int]:
    """A group with an epoch, whose pk is given."""
    db = new_database(path)
    chats.add(db, ChatRow(CHAT, ChatKind.GROUP, 0, name="town"))
    groups.add(
        db, GroupRow(CHAT, GroupId(bytes(32)), ALICE, bytes(32), bytes(32), None, "me", 0, b"\x90", b"", None, 0)
    )
    epoch = epochs.add(db, CHAT, EpochId(bytes(32)), None, derive(bytes(32)), [], (), 0)
    assert epoch is not None
    return db, epoch


def test_somebody_is_asked_though_the_clock_was_ahead_when_it_was_noticed(tmp_path: Path) -> None:
    db, epoch = opened(tmp_path / "db")
    for number, noticed in enumerate((NOW - MINUTE_MS, NOW, NOW + DAY_MS)):
        gaps.add(db, epoch, ALICE, number, None, noticed, noticed + MINUTE_MS)
    assert [gap.number for gap in gaps.to_ask(db, CHAT, NOW, HOUR_MS, 9)] == [0, 2]
    db.close()


def test_a_row_that_stands_for_others_goes_on_to_the_next_that_can_be_read(tmp_path: Path) -> None:
    db, epoch = opened(tmp_path / "db")
    epochs.skip(db, epoch, ALICE, [(number, bytes(32)) for number in range(5, 10)], NOW)
    gaps.add(db, epoch, ALICE, 9, None, NOW, NOW)
    gaps.add(db, epoch, ALICE, 8, None, NOW, NOW, messages=8)  # 8 and all before it, of which five are out of reach

    def arrives(number: int) -> list[tuple[int, int, bool]]:
        epochs.use_skipped(db, epoch, ALICE, number)
        gaps.arrived(db, epoch, ALICE, number, NOW)
        return rows()

    def rows() -> list[tuple[int, int, bool]]:
        found = db.query("SELECT number, messages, given_up FROM group_gaps ORDER BY number")
        return [(number, messages, bool(given_up)) for number, messages, given_up in found]

    assert arrives(6) == [(8, 7, False), (9, 1, False)]
    assert arrives(9) == [(8, 7, False)]
    assert arrives(8) == [(7, 6, False)]
    assert arrives(7) == [(5, 5, False)]
    assert arrives(5) == [(4, 4, True)], "nobody is asked for what could not be read"
    gaps.widen(db, epoch, ALICE, 20, 11)
    assert rows() == [(20, 15, True)]
    db.close()


def test_somebody_is_asked_from_the_time_that_was_set(tmp_path: Path) -> None:
    db, epoch = opened(tmp_path / "db")
    times = {1: NOW, 2: NOW + 1, 3: NOW + HOUR_MS, 4: NOW + HOUR_MS + 1, 5: NOW - 1, 6: NOW - 2}
    for number, ask_at in times.items():
        gaps.add(db, epoch, ALICE, number, None, NOW - DAY_MS, ask_at)
    assert [gap.number for gap in gaps.to_ask(db, CHAT, NOW, HOUR_MS, 9)] == [6, 5, 1, 4]
    assert [gap.number for gap in gaps.to_ask(db, CHAT, NOW, HOUR_MS, 2)] == [6, 5]
    (first, second, *_) = gaps.to_ask(db, CHAT, NOW, HOUR_MS, 9)
    gaps.asked(db, first, 3, NOW + 1)
    gaps.give_up(db, second)
    assert [gap.number for gap in gaps.to_ask(db, CHAT, NOW, HOUR_MS, 9)] == [1, 4]
    assert [(gap.number, gap.asked) for gap in gaps.missing(db, CHAT)] == [(1, 0), (2, 0), (3, 0), (4, 0), (6, 3)]
    assert gaps.chats(db) == [CHAT]
    assert gaps.chats(db, 1) == [CHAT]
    assert gaps.chats(db, 0) == []
    for gap in gaps.missing(db, CHAT):
        gaps.give_up(db, gap)
    assert (gaps.chats(db), gaps.missing(db, CHAT), gaps.to_ask(db, CHAT, NOW, HOUR_MS, 9)) == ([], [], [])
    db.close()


def test_a_later_message_of_its_author_stands_above_one_that_names_it(tmp_path: Path) -> None:
    db, epoch = opened(tmp_path / "db")
    gaps.add(db, epoch, ALICE, 1, BOB, NOW, NOW)
    gaps.add(db, epoch, ALICE, 1, CAROL, NOW + 1, NOW + 1)
    gaps.add(db, epoch, BOB, 1, CAROL, NOW, NOW)
    (known, other) = gaps.missing(db, CHAT)
    assert (known.named_by, known.since, other.named_by) == (BOB, NOW, CAROL)
    assert [gaps.count(db, epoch, ALICE, by) for by in (None, BOB, CAROL, ALICE)] == [1, 1, 1, 0]
    gaps.add(db, epoch, ALICE, 1, None, NOW + 1, NOW + 1)
    gaps.add(db, epoch, ALICE, 1, BOB, NOW + 1, NOW + 1)
    (known, _) = gaps.missing(db, CHAT)
    assert (known.named_by, known.since) == (None, NOW)
    gaps.give_up(db, known)
    assert gaps.count(db, epoch, ALICE, None) == 1, "what was given up counts"
    db.close()


def test_of_several_rows_of_an_author_the_one_that_stands_for_others_changes(tmp_path: Path) -> None:
    db, epoch = opened(tmp_path / "db")
    for member, number, messages in ((ALICE, 5, 3), (ALICE, 7, 1), (ALICE, 9, 1), (BOB, 10, 4)):
        gaps.add(db, epoch, member, number, None, NOW, NOW, messages)
    gaps.give_up(db, gaps.missing(db, CHAT)[2])
    gaps.widen(db, epoch, ALICE, 12, 3)

    def rows() -> list[tuple[int, int]]:
        return db.query("SELECT number, messages FROM group_gaps ORDER BY number")

    assert rows() == [(5, 3), (7, 1), (10, 4), (12, 4)]
    gaps.arrived(db, epoch, ALICE, 6, NOW)
    assert rows() == [(5, 3), (7, 1), (10, 4), (12, 3)]
    gaps.arrived(db, epoch, ALICE, 3, NOW)
    assert rows() == [(5, 2), (7, 1), (10, 4), (12, 3)]
    epochs.skip(db, epoch, ALICE, [(11, bytes(32))], NOW)
    gaps.arrived(db, epoch, ALICE, 12, NOW)
    assert rows() == [(5, 2), (7, 1), (10, 4), (11, 2)]
    epochs.skip(db, epoch, BOB, [(9, bytes(32))], NOW)
    (gap,) = [gap for gap in gaps.missing(db, CHAT) if gap.member == BOB]
    gaps.asked(db, gap, 2, NOW + 1)
    line = MessageRow(MessageId(bytes(16)), CHAT, sender_of(BOB), 0, 1, "", NOW, DeliveryState.RECEIVED)
    assert store_messages.insert(db, line) is not None
    gaps.told(db, gap, 1)
    gaps.arrived(db, epoch, BOB, 10, NOW + MINUTE_MS)
    (gap,) = gaps.of_notice(db, 1)
    assert (gap.number, gap.since, gap.messages, gap.asked, gap.given_up) == (9, NOW, 3, 0, False)
    assert gap in gaps.to_ask(db, CHAT, NOW + MINUTE_MS, HOUR_MS, 9)
    assert gap not in gaps.to_ask(db, CHAT, NOW + MINUTE_MS - 1, HOUR_MS, 9)
    assert [gap.number for gap in gaps.missing(db, CHAT)] == [5, 7, 9], "whoever is not asked for 12 is not for these"
    db.close()
