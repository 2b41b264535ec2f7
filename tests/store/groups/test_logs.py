"""The rows of groups' logs: which are read, how far, and what waits to be put into them."""

from __future__ import annotations

from p2pchat.core.groups.chains import branch_keys
from p2pchat.core.groups.epochs import derive
from p2pchat.core.groups.log_relays import LogRelay
from p2pchat.core.ids import ChatId, EpochId, GroupId, MemberId, MessageId, PeerKey
from p2pchat.store import chats
from p2pchat.store.chats import ChatKind, ChatRow
from p2pchat.store.database import Database
from p2pchat.store.groups import epochs, groups, items, logs
from p2pchat.store.groups.groups import GroupRow

CHAT, ME, OTHER = ChatId(b"12345678"), MemberId(b"me......"), MemberId(b"other...")
RELAYS = [LogRelay(PeerKey(bytes([number]) * 32), b"somewhere", b"") for number in range(3)]
ADMIN = bytes([9]) * 32


def group(db: Database) -> int:
    """A group with one epoch; its pk."""
    chats.add(db, ChatRow(CHAT, ChatKind.GROUP, 1, name="town"))
    keys = bytes(32)
    groups.add(db, GroupRow(CHAT, GroupId(keys), ME, keys, keys, None, "me", 0, b"\x90", b"", None, 1))
    pk = epochs.add(db, CHAT, EpochId(bytes(32)), None, derive(bytes(32)), branch_keys(keys), [ME, OTHER], 1)
    assert pk is not None
    return pk


def test_a_log_is_used_read_on_and_forgotten(db: Database) -> None:
    with db.transaction():
        epoch = group(db)
        for relay in RELAYS[:2]:
            logs.put(db, CHAT, epoch, relay, ADMIN)
        first, second = logs.of(db, CHAT)
        assert [first.at, second.at] == RELAYS[:2]
        logs.read_upto(db, first.pk, 7)
        logs.read_upto(db, first.pk, 5)
        logs.retire(db, first.pk, 100)
        logs.retire(db, second.pk, 100)
        logs.put(db, CHAT, epoch, RELAYS[1], ADMIN)
        assert [(log.cursor, log.until) for log in logs.of_epoch(db, epoch)] == [(7, 100), (0, None)]
        assert not logs.expire(db, 99)
        assert logs.expire(db, 100)
        assert logs.all(db) == [logs.get(db, second.pk)]
        epochs.remove(db, epoch)
        assert logs.all(db) == []


def test_an_item_is_let_go_when_every_log_has_it(db: Database) -> None:
    with db.transaction():
        epoch = group(db)
        for relay in RELAYS:
            logs.put(db, CHAT, epoch, relay, ADMIN)
        item = items.see(db, CHAT, b"id", b"sealed", 1)
        assert item is not None
        message = MessageId(bytes(16))
        pks = [log.pk for log in logs.of(db, CHAT)]
        for pk in pks:
            logs.queue(db, pk, item, message, admin=pk == pks[0])
            logs.queue(db, pk, item, None, admin=False)
        assert logs.outgoing(db, pks[0], 5) == [(item, b"sealed", message, True)]
        assert logs.with_outgoing(db) == set(pks)
        for pk in pks:
            assert db.query_one("SELECT item FROM group_items") == (b"sealed",)
            logs.done(db, pk, [item])
        assert db.query_one("SELECT item FROM group_items") == (None,)
        assert logs.with_outgoing(db) == set()


def test_what_an_admin_puts_does_not_wait_behind_what_a_full_log_refuses(db: Database) -> None:
    with db.transaction():
        logs.put(db, CHAT, group(db), RELAYS[0], ADMIN)
        (log,) = logs.of(db, CHAT)
        for number, admin in enumerate([False] * 3 + [True] * 2):
            item = items.see(db, CHAT, bytes([number]), bytes([number]), 1)
            assert item is not None
            logs.queue(db, log.pk, item, None, admin=admin)
        assert [row.sealed[0] for row in logs.outgoing(db, log.pk, 3)] == [3, 4, 0]


def test_skipped_keys_are_counted_for_their_sender_and_their_group(db: Database) -> None:
    with db.transaction():
        epoch = group(db)
        epochs.skip(db, epoch, OTHER, [(number, bytes(32)) for number in range(3)], 1)
        epochs.skip(db, epoch, ME, [(1, bytes(32))], 1)
        assert epochs.count_skipped(db, CHAT, OTHER) == (3, 4)
        epochs.trim_skipped(db, CHAT, 2, OTHER)
        assert epochs.count_skipped(db, CHAT, OTHER) == (1, 2)
        assert epochs.count_skipped(db, ChatId(bytes(8)), OTHER) == (0, 0)


def test_of_logs_that_are_not_used_any_more_the_newest_are_kept(db: Database) -> None:
    with db.transaction():
        epoch = group(db)
        for number in range(6):
            logs.put(db, CHAT, epoch, LogRelay(PeerKey(bytes([number]) * 32), b"somewhere", b""), ADMIN)
        *retired, used = [log.pk for log in logs.of(db, CHAT)]
        item = items.see(db, CHAT, b"id", b"sealed", 1)
        assert item is not None
        for pk in retired[:2]:
            logs.queue(db, pk, item, None, admin=False)
        for number, pk in enumerate(retired):
            logs.retire(db, pk, 100 + number)
        assert not logs.trim_retired(db, CHAT, 5, 5)
        assert logs.trim_retired(db, CHAT, 2, 4)
        assert [log.pk for log in logs.of(db, CHAT)] == [retired[1], *retired[3:], used]


def test_a_log_into_which_something_is_to_be_put_does_not_expire(db: Database) -> None:
    """It may be what leads from there to the next epoch."""
    with db.transaction():
        logs.put(db, CHAT, group(db), RELAYS[0], ADMIN)
        (log,) = logs.of(db, CHAT)
        item = items.see(db, CHAT, b"an item", b"sealed", 1)
        assert item is not None
        logs.queue(db, log.pk, item, None, admin=False)
        logs.retire(db, log.pk, 100)
        assert not logs.expire(db, 1_000)
        logs.done(db, log.pk, [item])
        assert logs.expire(db, 1_000)
        assert logs.of(db, CHAT) == []
