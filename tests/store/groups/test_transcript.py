"""The newest messages of groups as they came: what is named next, and how much is kept."""

from __future__ import annotations

import pytest

from p2pchat.core.groups.epochs import derive
from p2pchat.core.ids import ChatId, EpochId, GroupId, MemberId
from p2pchat.store import chats
from p2pchat.store.chats import ChatKind, ChatRow
from p2pchat.store.database import Database
from p2pchat.store.groups import epochs, groups, transcript
from p2pchat.store.groups.groups import GroupRow
from p2pchat.store.groups.transcript import KeptMessage, PlacedMessage

CHAT, OTHER = ChatId(b"the chat"), ChatId(b"another.")
ALICE, BOB = MemberId(b"alice, 8"), MemberId(b"bob, 8  ")


def founded(db: Database, chat: ChatId, *ids: bytes) -> list[int]:
    """A group with these epochs, whose pks are returned."""
    chats.add(db, ChatRow(chat, ChatKind.GROUP, 0, name="town"))
    group = GroupId(chat * 4)
    groups.add(db, GroupRow(chat, group, ALICE, bytes(32), bytes(32), None, "me", 0, b"\x90", b"", None, 0))
    pks = [epochs.add(db, chat, EpochId(id * 32), None, derive(id * 32), [], (), 0) for id in ids]
    return [pk for pk in pks if pk is not None]


def keep(db: Database, epoch: int, number: int, body: bytes = b"body", *, named: bool = False) -> None:
    transcript.add(db, CHAT, PlacedMessage(epoch, BOB, number, number.to_bytes(8, "big")), body, named=named)


def unnamed(db: Database, *pks: int, limit: int = 9) -> list[tuple[int, int]]:
    first, second = pks
    return [(one.epoch, one.number) for one in transcript.not_named(db, (first, second), limit)]


def test_the_newest_that_nothing_names_come_first(db: Database) -> None:
    old, before, now = founded(db, CHAT, b"a", b"b", b"c")
    for epoch, number in ((old, 1), (before, 2), (now, 3), (now, 4), (now, 5)):
        keep(db, epoch, number)
    keep(db, now, 6, named=True)
    assert unnamed(db, now, before) == [(now, 5), (now, 4), (now, 3), (before, 2)]
    assert unnamed(db, now, before, limit=2) == [(now, 5), (now, 4)]
    assert transcript.name(db, now, BOB, 5) == (5).to_bytes(8, "big")
    assert transcript.name(db, now, BOB, 6) == (6).to_bytes(8, "big"), "once more"
    assert transcript.name(db, now, BOB, 7) is None
    assert transcript.name(db, now, ALICE, 4) is None
    assert unnamed(db, now, before) == [(now, 4), (now, 3), (before, 2)]


def test_what_came_first_in_a_place_stays(db: Database) -> None:
    (epoch,) = founded(db, CHAT, b"a")
    keep(db, epoch, 1, b"first")
    keep(db, epoch, 1, b"second", named=True)
    assert transcript.body(db, epoch, BOB, 1) == b"first"
    assert unnamed(db, epoch, epoch) == [(epoch, 1)]
    assert transcript.body(db, epoch, BOB, 2) is None


@pytest.mark.parametrize(("messages", "size", "left"), [(3, 99, [4, 5, 6]), (9, 10, [5, 6]), (9, 8, [5, 6])])
def test_the_oldest_of_a_group_give_way(
    db: Database, monkeypatch: pytest.MonkeyPatch, messages: int, size: int, left: list[int]
) -> None:
    """So many messages of 4 bytes, and so many bytes, are kept; others' groups do not count."""
    monkeypatch.setattr(transcript, "MAX_MESSAGES", messages)
    monkeypatch.setattr(transcript, "MAX_BYTES", size)
    monkeypatch.setattr(transcript, "TRIM_EVERY", 1_000)
    first, second = founded(db, CHAT, b"a", b"b")
    (elsewhere,) = founded(db, OTHER, b"c")
    transcript.add(db, OTHER, PlacedMessage(elsewhere, BOB, 1, bytes(8)), bytes(50), named=False)
    for number in range(1, 6):
        keep(db, first if number < 3 else second, number)
    assert len(unnamed(db, first, second)) == 5, "it is not trimmed each time"
    monkeypatch.setattr(transcript, "TRIM_EVERY", 1)
    keep(db, second, 6)
    assert sorted(number for _, number in unnamed(db, first, second)) == left
    assert transcript.body(db, elsewhere, BOB, 1) is not None


def test_it_is_trimmed_when_so_many_more_have_come_however_they_came(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transcript, "MAX_MESSAGES", 2)
    monkeypatch.setattr(transcript, "TRIM_EVERY", 4)
    (epoch,) = founded(db, CHAT, b"a")

    def come(*numbers: int) -> list[int]:
        placed = [PlacedMessage(epoch, BOB, number, bytes(8)) for number in numbers]
        transcript.add_all(db, CHAT, [KeptMessage(message, b"body", named=False) for message in placed])
        return [number for number in range(20) if transcript.body(db, epoch, BOB, number) is not None]

    assert come() == []
    assert come(1, 2, 3) == [1, 2, 3]
    assert come(4, 5, 6) == [5, 6], "the fourth was among them"
    assert come(7) == [5, 6, 7]
    assert come(8) == [7, 8]
    assert come(9, 10, 11) == [7, 8, 9, 10, 11]
