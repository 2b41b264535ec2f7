"""Messages that have not arrived: when somebody is asked for them."""

from __future__ import annotations

from pathlib import Path

from p2pchat.core.groups.epochs import derive
from p2pchat.core.ids import ChatId, EpochId, GroupId, MemberId
from p2pchat.lib.times import DAY_MS, HOUR_MS, MINUTE_MS
from p2pchat.store import chats
from p2pchat.store.chats import ChatKind, ChatRow
from p2pchat.store.groups import epochs, gaps, groups
from p2pchat.store.groups.groups import GroupRow
from tests.support.databases import new_database

CHAT = ChatId(b"the chat")
ALICE = MemberId(b"alice, 8")
NOW = 1_700_000_000_000


def test_somebody_is_asked_though_the_clock_was_ahead_when_it_was_noticed(tmp_path: Path) -> None:
    db = new_database(tmp_path / "db")
    chats.add(db, ChatRow(CHAT, ChatKind.GROUP, 0, name="town"))
    groups.add(
        db, GroupRow(CHAT, GroupId(bytes(32)), ALICE, bytes(32), bytes(32), None, "me", 0, b"\x90", b"", None, 0)
    )
    epoch = epochs.add(db, CHAT, EpochId(bytes(32)), None, derive(bytes(32)), {}, 0)
    assert epoch is not None
    for number, noticed in enumerate((NOW - MINUTE_MS, NOW, NOW + DAY_MS)):
        gaps.add(db, epoch, ALICE, number, None, noticed, noticed + MINUTE_MS)
    assert [gap.number for gap in gaps.to_ask(db, CHAT, NOW, HOUR_MS, 9)] == [0, 2]
    db.close()
